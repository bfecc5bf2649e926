"""The routes: sign in, list own tasks, get one, create one. Started by `uvicorn benchmarks.peer.app:app`.

`/tasks` always asks the database; `/cached-tasks` is the same list with cache-aside.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.peer.cache import forget_lists, get_cached, limited_user, redis, set_cached
from benchmarks.peer.database import Base, engine, get_db
from benchmarks.peer.models import Task, TaskStatus, User
from benchmarks.peer.schemas import Credentials, TaskCreate, TaskPage, TaskRead, Token
from benchmarks.peer.security import create_access_token, verify_password


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()
    if redis is not None:
        await redis.aclose()


app = FastAPI(title="Tasks", lifespan=lifespan)
Database = Annotated[AsyncSession, Depends(get_db)]
PageSize = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0)]
CurrentUser = Annotated[User, Depends(limited_user)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/auth/sign-in", response_model=Token)
async def sign_in(credentials: Credentials, db: Database) -> Token:
    user = await db.scalar(select(User).where(User.email == credentials.email))
    if user is None or not await run_in_threadpool(verify_password, credentials.password, user.hashed_password):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Incorrect email or password")
    return Token(access_token=create_access_token(user))


@app.get("/tasks", response_model=TaskPage)
async def list_tasks(
    db: Database,
    user: CurrentUser,
    status: TaskStatus | None = None,
    limit: PageSize = 20,
    offset: Offset = 0,
) -> TaskPage:
    query = select(Task).where(Task.owner_id == user.id)
    if status is not None:
        query = query.where(Task.status == status)
    tasks = await db.scalars(query.order_by(Task.created_at.desc()).limit(limit).offset(offset))
    return TaskPage(items=[TaskRead.model_validate(task) for task in tasks], limit=limit, offset=offset)


@app.get("/cached-tasks", response_model=TaskPage)
async def list_cached_tasks(
    db: Database,
    user: CurrentUser,
    status: TaskStatus | None = None,
    limit: PageSize = 20,
    offset: Offset = 0,
) -> Response:
    key = f"tasks:{user.id}:{status}:{limit}:{offset}"
    body = await get_cached(key)
    if body is None:
        page = await list_tasks(db, user, status, limit, offset)
        body = page.model_dump_json().encode()
        await set_cached(user.id, key, body)
    return Response(body, media_type="application/json")


@app.get("/tasks/{task_id}", response_model=TaskRead)
async def get_task(task_id: UUID, db: Database, user: CurrentUser) -> Task:
    task = await db.scalar(select(Task).where(Task.id == task_id, Task.owner_id == user.id))
    if task is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Task not found")
    return task


@app.post("/tasks", response_model=TaskRead, status_code=201)
async def create_task(body: TaskCreate, db: Database, user: CurrentUser) -> Task:
    task = Task(owner_id=user.id, **body.model_dump())
    db.add(task)
    await db.commit()
    await db.refresh(task)
    await forget_lists(user.id)
    return task
