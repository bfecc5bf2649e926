"""The command line: `ramet.cli.main`."""
