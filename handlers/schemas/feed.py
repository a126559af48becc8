"""The feed: posts, reactions and comments, input and output."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from handlers.schemas.fields import Choice, Id, ImageFile, Input, Output, Text, Timestamp
from store.records import REACTION_TYPES

COUNT = validate.Range(min=0)


class Author(Output):
    id = Id()
    first_name = fields.String()
    last_name = fields.String()
    profile_image = fields.String(allow_none=True)


class ReactionCounts(Output):
    fire = fields.Integer(validate=COUNT)
    thumbs_up = fields.Integer(validate=COUNT)
    heart = fields.Integer(validate=COUNT)


class NewPost(Input):
    content = Text(most=5000, required=True)
    content_format = Choice("plain", "markdown", load_default="plain")
    image = fields.Raw(
        allow_none=True,
        validate=validate.Equal(None, error="Send an image as multipart/form-data."),
        metadata={"description": "Null, or left out; a form may have an image."},
    )


class NewPostForm(NewPost):
    """The same with an image, which may stand alone."""

    content = Text(most=5000, least=0, load_default="")
    image = ImageFile(
        "At most 5 MB and 4096 x 4096: JPEG, PNG or WebP, by name, type and content.", load_default=None
    )

    @validates_schema
    def _check_content(self, loaded: dict[str, Any], **_: object) -> None:
        if not loaded["content"] and loaded["image"] is None:
            raise ValidationError({"content": ["This field may not be blank."]})


class ImageVariant(Output):
    """A smaller WebP version of a picture."""

    width = fields.Integer()
    height = fields.Integer()
    url = fields.String()


class Post(Output):
    id = Id()
    author = fields.Nested(Author)
    content = fields.String()
    content_format = Choice("plain", "markdown")
    post_type = Choice("text", "workout_completed", "achievement")
    image_url = fields.String(allow_none=True)
    image_width = fields.Integer(allow_none=True, metadata={"description": "Of the image, in pixels."})
    image_height = fields.Integer(allow_none=True)
    image_variants = fields.List(
        fields.Nested(ImageVariant), metadata={"description": "Smaller versions, the smallest first."}
    )
    reactions = fields.Nested(ReactionCounts)
    user_reactions = fields.List(Choice(*REACTION_TYPES))
    comment_count = fields.Integer(validate=COUNT)
    created_at = Timestamp()


class NewReaction(Input):
    reaction_type = Choice(*REACTION_TYPES, required=True)


class ReactionState(Output):
    reaction_type = Choice(*REACTION_TYPES)
    active = fields.Boolean()
    reactions = fields.Nested(ReactionCounts)
    user_reactions = fields.List(Choice(*REACTION_TYPES))


class Reaction(Output):
    user = fields.Nested(Author)
    reaction_type = Choice(*REACTION_TYPES)
    created_at = Timestamp()


class NewComment(Input):
    content = Text(most=500, required=True)


class Comment(Output):
    id = Id()
    author = fields.Nested(Author)
    content = fields.String()
    created_at = Timestamp()
