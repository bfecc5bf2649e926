"""The public names, for type checkers. See `__init__.py`."""

from ramet.app import (
    App as App,
)
from ramet.declare.demo import (
    SignIn as SignIn,
)
from ramet.declare.resource import (
    Resource as Resource,
)
from ramet.declare.resource import (
    action as action,
)
from ramet.declare.resource import (
    after as after,
)
from ramet.declare.resource import (
    before as before,
)
from ramet.declare.rules import (
    Access as Access,
)
from ramet.declare.rules import (
    everyone as everyone,
)
from ramet.declare.rules import (
    exists as exists,
)
from ramet.declare.rules import (
    me as me,
)
from ramet.declare.rules import (
    nobody as nobody,
)
from ramet.declare.rules import (
    outer as outer,
)
from ramet.declare.rules import (
    owner_only as owner_only,
)
from ramet.declare.rules import (
    public_read as public_read,
)
from ramet.declare.rules import (
    read_only as read_only,
)
from ramet.declare.rules import (
    role as role,
)
from ramet.declare.rules import (
    roles_only as roles_only,
)
from ramet.declare.rules import (
    signed_in as signed_in,
)
from ramet.declare.rules import (
    that as that,
)
from ramet.declare.rules import (
    this as this,
)
from ramet.declare.types import (
    Digits as Digits,
)
from ramet.declare.types import (
    Email as Email,
)
from ramet.declare.types import (
    Help as Help,
)
from ramet.declare.types import (
    Hidden as Hidden,
)
from ramet.declare.types import (
    Index as Index,
)
from ramet.declare.types import (
    Items as Items,
)
from ramet.declare.types import (
    Json as Json,
)
from ramet.declare.types import (
    Length as Length,
)
from ramet.declare.types import (
    Pattern as Pattern,
)
from ramet.declare.types import (
    Range as Range,
)
from ramet.declare.types import (
    ReadOnly as ReadOnly,
)
from ramet.declare.types import (
    Ref as Ref,
)
from ramet.declare.types import (
    Unique as Unique,
)
from ramet.declare.types import (
    Url as Url,
)
from ramet.declare.types import (
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
