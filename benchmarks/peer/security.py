"""Passwords and tokens. argon2id takes the same memory and passes as the subject's."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.peer.database import get_db
from benchmarks.peer.models import User

SECRET_KEY = "a secret that only the benchmark knows"
ALGORITHM = "HS256"
ACCESS_TOKEN_MINUTES = 60
hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
bearer = HTTPBearer()


def verify_password(password: str, hashed: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except VerifyMismatchError:
        return False


def create_access_token(user: User) -> str:
    expires = datetime.now(UTC) + timedelta(minutes=ACCESS_TOKEN_MINUTES)
    return jwt.encode({"sub": str(user.id), "exp": expires}, SECRET_KEY, algorithm=ALGORITHM)


async def get_current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)],
    db: Annotated[AsyncSession, Depends(get_db)],
) -> User:
    """The caller named by the bearer token, loaded. Raises 401 when the token or the account is not good."""
    refused = HTTPException(status.HTTP_401_UNAUTHORIZED, "Could not validate credentials")
    try:
        payload = jwt.decode(credentials.credentials, SECRET_KEY, algorithms=[ALGORITHM])
        user_id = UUID(payload["sub"])
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise refused from None
    user = await db.get(User, user_id)
    if user is None or not user.is_active:
        raise refused
    return user
