"""The schema of the previous release, with data in it, is brought to today's by a start."""

import pytest

from tests.deploy.page import shown
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits, wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

_MIGRATE = "import migrations; from app.settings import Settings; url = Settings().database_url; "


def test_the_previous_schema_is_upgraded_with_its_data(
    stack: Stack, digits: Digits, report: DeployReport
) -> None:
    stack.create("older")
    stack.learn("older", digits.zip([0, 1]))
    images = [digits.held_out(label) for label in (0, 1, 2)]
    stack.predict_by("older", 1, images[0])
    before = [stack.predict("older", image) for image in images]
    newest = stack.python(_MIGRATE + "print(migrations.current(url))")

    with report.step("upgrade from the previous schema, with data in it") as step:
        stack.compose(*shown("stop"))
        stack.python(_MIGRATE + "migrations.downgrade(url, '-1')")
        older = stack.python(_MIGRATE + "print(migrations.current(url))")
        assert older != newest
        stack.up()
        assert stack.python(_MIGRATE + "print(migrations.current(url))") == newest
        wait_for(lambda: stack.predict("older", images[0])["version"] == 1)
        assert [stack.predict("older", image) for image in images] == before
        assert stack.learn("older", digits.zip([2, 3])) == 2
        step.found = f"{older} to {newest}; the answers are the same, and it goes on learning"
