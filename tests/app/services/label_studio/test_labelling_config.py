"""What a project's labelling config asks for."""

import pytest

from app.services.label_studio.labelling_config import (
    InvalidLabellingConfigError,
    LabellingConfig,
    parse,
)
from tests.app.services.label_studio.site import CONFIG

IMAGE = '<Image name="picture" value="$photo"/>'


def test_image_and_choices() -> None:
    assert parse(CONFIG) == LabellingConfig("picture", "image", "kind", frozenset("ab"))


def test_choices_are_called_by_their_alias() -> None:
    choices = '<Choice value="Stop sign" alias="stop"/><Choice value="yield"/>'
    text = f'<View>{IMAGE}<Choices name="sign" toName="picture">{choices}</Choices></View>'
    assert parse(text).labels == {"stop", "yield"}


def test_choices_of_tasks_may_be_any() -> None:
    text = f'<View>{IMAGE}<Choices name="sign" toName="picture" value="$signs"/></View>'
    assert parse(text).labels is None


def test_choices_of_other_things_are_passed_over() -> None:
    others = (
        '<Text name="note" value="$note"/><Choices name="mood" toName="note"/>'
        '<Choices name="part" toName="picture" perRegion="true"/>'
    )
    text = f'<View>{IMAGE}{others}<View><Choices name="sign" toName="picture"/></View></View>'
    assert parse(text) == LabellingConfig("picture", "photo", "sign", frozenset())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<View></View>", "lacks <Image"),
        (f"<View>{IMAGE}</View>", "lacks <Image"),
        ("", "not XML"),
        ("<View>", "not XML"),
        (f"<View>{IMAGE}" + " " * 10**6 + "</View>", "longer than"),
        (
            f'<View>{IMAGE}<Choices name="s" toName="picture"><Choice value="a">'
            '<Choice value="b"/></Choice></Choices></View>',
            "choices within choices",
        ),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidLabellingConfigError, match=why):
        parse(text)


@pytest.mark.parametrize(
    "entities",
    [
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">',
        '<!ENTITY c SYSTEM "file:///etc/passwd">',
        '<!ENTITY % c SYSTEM "http://127.0.0.1/"> %c;',
    ],
)
def test_no_entity_is_expanded(entities: str) -> None:
    text = f'<!DOCTYPE View [{entities}]><View><Image name="&c;" value="$image"/></View>'
    with pytest.raises(InvalidLabellingConfigError, match="document type"):
        parse(text)
