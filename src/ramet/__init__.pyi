"""The public names, for type checkers. See `__init__.py`."""

from ramet.app import (
    App as App,
)
from ramet.declare.demo import (
    SignIn as SignIn,
)
from ramet.declare.resource import (
    Resource as Resource,
    action as action,
    after as after,
    before as before,
)
from ramet.declare.rules import (
    Access as Access,
    everyone as everyone,
    exists as exists,
    me as me,
    nobody as nobody,
    outer as outer,
    owner_only as owner_only,
    public_read as public_read,
    read_only as read_only,
    role as role,
    roles_only as roles_only,
    signed_in as signed_in,
    that as that,
    this as this,
)
from ramet.declare.types import (
    Digits as Digits,
    Email as Email,
    Help as Help,
    Hidden as Hidden,
    Index as Index,
    Items as Items,
    Json as Json,
    Length as Length,
    Pattern as Pattern,
    Range as Range,
    ReadOnly as ReadOnly,
    Ref as Ref,
    Unique as Unique,
    Url as Url,
    WriteOnce as WriteOnce,
)
from ramet.errors import (
    Problem as Problem,
)
from ramet.identity.sessions import (
    Session as Session,
)
from ramet.identity.users import (
    User as User,
)
from ramet.operations.context import (
    Context as Context,
)
from ramet.settings import (
    Settings as Settings,
)
