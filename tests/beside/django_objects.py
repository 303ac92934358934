"""Django: a lazy user and a query set as arguments: no query is made."""

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    USE_TZ=True,
)
django.setup()
from beside import check, done, recording
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from otel_episodes import episode, step

call_command("migrate", verbosity=0)
User.objects.create(username="ann")


@step
def greet(user):
    return user


with recording() as recorded, episode("t"):
    for what, value in (("lazy user", SimpleLazyObject(User.objects.get)), ("query set", User.objects.all())):
        with CaptureQueriesContext(connection) as queries:
            greet(value)
        check(f"a {what} is not asked", len(queries) == 0)
    check("each call is a step", len(recorded.steps) == 2)
done("Django")
