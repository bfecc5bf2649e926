"""What HTTP asks of every interface: negotiation, conditions, compression, cross-origin rules, problems."""
