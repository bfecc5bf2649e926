"""LifeVault: what a family must not lose, shared with those whom it trusts.

A vault belongs to one person, who lets others in as viewers or editors. Viewers read; secrets are for editors.

    ramet serve examples/lifevault/app.py --demo
"""

from __future__ import annotations

from typing import Annotated, Literal

from ramet import (
    Access,
    App,
    Context,
    Email,
    Index,
    Length,
    Problem,
    ReadOnly,
    Ref,
    Resource,
    SignIn,
    User,
    WriteOnce,
    before,
    exists,
    me,
    that,
    this,
)
from ramet.errors import Fault

mine = this.owner == me.id


class Vault(Resource):
    """A place for items. Its owner lets members in; all that is in it goes with it."""

    name: Annotated[str, Length(1, 100)]
    description: Annotated[str, Length(max=2_000)] = ""

    access = Access(read=mine | exists("Member", that.vault == this.id, that.user == me.id))


# The same three questions decide about members and about items: both name their vault.
owns = exists(Vault, that.id == this.vault, that.owner == me.id)
belongs = exists("Member", that.vault == this.vault, that.user == me.id)
edits = exists("Member", that.vault == this.vault, that.user == me.id, that.role == "editor")


class Member(Resource):
    """Somebody whom the owner of a vault has let in, by e-mail address."""

    vault: Annotated[str, Ref(Vault, on_delete="cascade"), WriteOnce]
    email: Annotated[Email, WriteOnce]
    role: Literal["viewer", "editor"] = "viewer"
    user: Annotated[str | None, Ref(User, on_delete="cascade"), ReadOnly] = None

    access = Access(
        read=owns | (this.user == me.id),
        create=owns,
        update=owns,
        delete=owns | (this.user == me.id),  # who does not want to be in a vault may leave it
    )
    indexes = [Index("user", "vault"), Index("vault", "user", unique=True)]

    @before("create")
    async def find_user(self, ctx: Context) -> None:
        """Members are users: the address must be that of an account."""
        found = await ctx.as_system().list(User, email=self.email.lower(), limit=1)
        if not found:
            fault = Fault("/email", "unknown_user", "Nobody has registered with this address.")
            raise Problem("invalid_input", faults=[fault])
        self.user = found[0].id


class Item(Resource):
    """Something kept in a vault. The secret is for those who may edit."""

    vault: Annotated[str, Ref(Vault, on_delete="cascade"), WriteOnce]
    title: Annotated[str, Length(1, 200)]
    kind: Literal["note", "login", "document", "card"] = "note"
    notes: Annotated[str, Length(max=10_000)] = ""
    secret: Annotated[str, Length(max=2_000)] = ""

    access = Access(
        read=owns | belongs,
        create=owns | edits,
        update=owns | edits,
        delete=owns | edits,
        fields={"secret": owns | edits},
    )
    indexes = [Index("vault", "title")]
    search = ("title", "notes")
    sort = "title"


async def demo(ctx: Context) -> SignIn:
    """A family: Lena owns a vault, Jonas edits it, and their daughter Mia may look."""
    ready = SignIn("lena@lifevault.example", "rainy-day-folder", "Also jonas@ and mia@lifevault.example, same password")
    lena = await app.create_user(ready.email, ready.password, name="Lena")
    jonas = await app.create_user("jonas@lifevault.example", ready.password, name="Jonas")
    await app.create_user("mia@lifevault.example", ready.password, name="Mia")
    hers, his = ctx.as_user(lena), ctx.as_user(jonas)
    family = await hers.create(Vault(name="Family", description="What we all need to find when it matters."))
    private = await hers.create(Vault(name="Lena only"))
    await hers.create(Member(vault=family.id, email="jonas@lifevault.example", role="editor"))
    await hers.create(Member(vault=family.id, email="mia@lifevault.example"))
    for title, kind, notes, secret in ITEMS:
        await hers.create(Item(vault=family.id, title=title, kind=kind, notes=notes, secret=secret))
    await his.create(Item(vault=family.id, title="Car papers", kind="document", notes="Glove box, blue folder."))
    await hers.create(Item(vault=private.id, title="Birthday surprise", notes="Tickets are in the piano."))
    return ready


ITEMS: list[tuple[str, Literal["note", "login", "document", "card"], str, str]] = [
    ("Passports", "document", "In the safe. Mia's expires in March.", "Safe: 4 left, 17 right, 8 left"),
    ("Home Wi-Fi", "login", "The guest network has no password.", "paper-boat-orchard"),
    ("House insurance", "document", "Policy in the grey binder; call before any repair.", "Policy 58-2210-7"),
    ("Family doctor", "note", "Dr. Aydin, open on Saturdays until noon.", ""),
    ("Bank card", "card", "Joint account.", "PIN 4410"),
    ("Alarm", "login", "Thirty seconds from the door to the panel.", "Code 9021, duress 9022"),
]

app = App(resources=[Vault, Member, Item], demo=demo)
