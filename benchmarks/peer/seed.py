"""`python -m benchmarks.peer.seed < people.json`: fills the peer's database with the people and tasks it is given.

The document is `{"password": str, "people": [{"email": str, "tasks": [{title, description, status, due_at}]}]}`.
One hash serves everybody: hashing is measured by the sign-in storm, not here.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from benchmarks.peer.database import Base, SessionLocal, engine
from benchmarks.peer.models import Task, User
from benchmarks.peer.schemas import TaskCreate
from benchmarks.peer.security import hasher


class Person(BaseModel):
    email: str
    tasks: list[TaskCreate]


class People(BaseModel):
    password: str
    people: list[Person]


async def fill(document: People) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    hashed = hasher.hash(document.password)
    start = datetime.now(UTC) - timedelta(days=1)
    async with SessionLocal() as session:
        for person in document.people:
            user = User(email=person.email, hashed_password=hashed)
            user.tasks = [
                Task(**task.model_dump(), created_at=start + timedelta(seconds=index))
                for index, task in enumerate(person.tasks)
            ]
            session.add(user)
        await session.commit()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(fill(People.model_validate_json(sys.stdin.buffer.read())))
