"""SQLAlchemy: an object that was expired by a commit, and a detached one: no query is made."""

from beside import check, done, recording
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from otel_episodes import episode, step


class Base(MappedAsDataclass, DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str]


@step
def greet(customer):
    return customer


engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
queries = []
with recording() as recorded, episode("t"):
    with Session(engine) as session:
        ann = Customer(name="Ann")
        session.add(ann)
        session.commit()
        event.listen(engine, "before_cursor_execute", lambda *told: queries.append(told[2]))
        greet(ann)
        session.commit()
    greet(ann)
check("nothing was asked of the database", queries == [])
check("each call is a step", len(recorded.steps) == 2)
done("SQLAlchemy")
