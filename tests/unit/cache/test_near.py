"""The near cache: bounded by bytes, and never an answer that a change has touched since its load began."""

from __future__ import annotations

from sys import getsizeof

from hypothesis import given
from hypothesis import strategies as st

from ramet.cache.near import ENTRY_OVERHEAD, Entry, NearCache
from ramet.changes.change import Change, Kind


class Clock:
    """Seconds that stand until they are moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def change(record: str = "1", owner: str | None = "o", resource: str = "Task", kind: Kind = "updated") -> Change:
    return Change(1, 1, resource, record, kind, 1, owner, b"{}")


def fill(near: NearCache, key: str, tags: tuple[str, ...], body: bytes = b"x", expires: float = 1e9) -> Entry:
    return Entry(body, "", tags, near.counter, expires)


def cache(capacity: int = 1_000_000, max_tags: int = 100) -> tuple[NearCache, Clock]:
    clock = Clock()
    return NearCache(capacity, clock, max_tags), clock


def test_each_kind_of_tag_is_touched_by_the_changes_that_concern_it_and_by_no_others() -> None:
    near, _ = cache()
    tags = ["Task", "Task:1", "Task:2", "Task:owner:o", "Task:owner:p", "Note", "Note:1"]
    for tag in tags:
        assert near.put(tag, fill(near, tag, (tag,)))
    near.apply([change("1", "o")])
    assert [tag for tag in tags if near.get(tag) is None] == ["Task", "Task:1", "Task:owner:o"]
    near.apply([change("9", None)])
    assert [tag for tag in tags if near.get(tag) is not None] == ["Task:2", "Task:owner:p", "Note", "Note:1"]


def test_what_is_created_touches_lists_and_pushes_out_nothing_that_is_remembered_of_others() -> None:
    near, _ = cache(max_tags=8)
    tags = ["Task", "Task:1", "Task:owner:o", "Task:owner:p", "Note"]
    for tag in tags:
        assert near.put(tag, fill(near, tag, (tag,)))
    near.apply([change(str(n), owner, kind="created") for n in range(50) for owner in ("o", None)])
    assert [tag for tag in tags if near.get(tag) is None] == ["Task", "Task:owner:o"]
    assert near.figures()["tags"] == 2


def test_changes_that_become_visible_together_are_one_step_and_a_load_may_begin_right_after() -> None:
    near, _ = cache()
    began = fill(near, "k", ("Task:2",))
    near.apply([change("1"), change("2"), change("3")])
    assert not near.put("k", began)
    assert near.put("k", fill(near, "k", ("Task:2",)))
    near.apply([change("1")])
    assert near.get("k") is not None


def test_a_fill_that_a_change_overtook_is_refused() -> None:
    near, _ = cache()
    began = fill(near, "k", ("Task",))
    near.apply([change()])
    assert not near.put("k", began)
    assert near.get("k") is None
    assert near.put("k", fill(near, "k", ("Task",)))


def test_an_entry_lives_as_long_as_it_may_and_no_longer() -> None:
    near, clock = cache()
    near.put("k", fill(near, "k", ("Task",), expires=10.0))
    clock.now = 9.9
    assert near.get("k") is not None
    clock.now = 10.0
    assert near.get("k") is None
    assert near.bytes == 0


def test_bytes_are_bounded_and_the_least_used_go_first() -> None:
    size = ENTRY_OVERHEAD + 100 + getsizeof(1)  # the key counts as well
    near, _ = cache(capacity=size * 10)
    for n in range(10):
        near.put(n, fill(near, "", ("Task",), b"x" * 100))
    near.get(0)
    near.put(10, fill(near, "", ("Task",), b"x" * 100))
    assert near.get(0) is not None
    assert near.get(1) is None
    assert near.bytes == size * 10
    assert len(near) == 10


def test_compressed_forms_count_and_what_is_too_large_is_not_kept() -> None:
    near, _ = cache(capacity=8_000)
    assert not near.put("huge", fill(near, "", (), b"x" * 1_001))
    entry = fill(near, "", (), b"x" * 100)
    near.put("k", entry)
    before = near.bytes
    near.grew("k", entry, 500)
    assert near.bytes == before + 500
    near.grew("other", entry, 500)
    assert near.bytes == before + 500
    near.grew("k", entry, 8_000)
    assert (near.bytes, len(near)) == (0, 0)


def test_forgotten_generations_raise_the_floor_so_that_nothing_old_is_believed() -> None:
    near, _ = cache(max_tags=3)
    untouched = fill(near, "k", ("Note",))
    near.put("k", untouched)
    near.apply([change(str(n), None) for n in range(10)])
    assert near.figures()["tags"] == 3
    assert near.get("k") is None, "what touched it might be among what was forgotten"
    assert near.put("k", fill(near, "k", ("Note",)))
    assert near.get("k") is not None


def test_clearing_also_refuses_loads_that_are_under_way() -> None:
    near, _ = cache()
    near.put("k", fill(near, "k", ("Task",)))
    began = fill(near, "k2", ("Note",))
    near.clear()
    assert near.get("k") is None
    assert not near.put("k2", began)
    assert near.bytes == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 7), st.integers(0, 2)),
        st.tuples(st.just("create"), st.integers(4, 7), st.integers(0, 2)),
        st.tuples(st.just("begin"), st.integers(0, 7), st.integers(0, 2)),
        st.tuples(st.just("finish"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 7), st.integers(0, 2)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8), st.integers(700, 20_000))
def test_whatever_happens_no_answer_is_older_than_the_last_change_to_what_it_holds(
    steps: list[tuple[str, int, int]], max_tags: int, capacity: int
) -> None:
    near = NearCache(capacity, Clock(), max_tags)
    records = dict.fromkeys(range(4), 0)
    loads: list[tuple[str, Entry]] = []

    def body(kind: int, record: int) -> bytes:
        """One record, those of its owner, or all."""
        shown = {0: [record], 1: [n for n in records if n % 2 == record % 2], 2: list(records)}[kind]
        return repr([records[n] for n in shown]).encode()

    def tag(kind: int, record: int) -> str:
        return {0: f"Task:{record}", 1: f"Task:owner:{record % 2}", 2: "Task"}[kind]

    for step, record, kind in steps:
        key = f"{kind}-{tag(kind, record)}"
        if step == "create":
            if record not in records:
                records[record] = 0
                near.apply([change(str(record), str(record % 2), kind="created")])
            continue
        if record not in records:
            continue
        if step == "change":
            records[record] += 1
            near.apply([change(str(record), str(record % 2))])
        elif step == "begin":
            loads.append((key, fill(near, key, (tag(kind, record),), body(kind, record))))
        elif step == "finish" and loads:
            near.put(*loads.pop(record % len(loads)))
        elif step == "read":
            entry = near.get(key)
            assert entry is None or entry.body == body(kind, record)
        assert near.bytes <= capacity
        assert near.bytes == sum(entry.size for entry in near._entries.values())
