"""The group's feed: posts, reactions, comments."""

import orjson

from community import comments, posts, present, reactions
from community.pictures import OF_POST
from handlers.base import ApiHandler, etag_of
from handlers.endpoint import GROUP, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import feed as schemas
from handlers.schemas.lists import PageQuery, page_of
from handlers.uploads import UploadHandler

TAG = "Feed"
POSITION = "X-Feed-Position"


class FeedHandler(UploadHandler):
    purpose = OF_POST

    @endpoint(
        Endpoint(
            summary="The group's posts, newest first.",
            roles=GROUP,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Post)},
            cached=True,
            headers={
                POSITION: "Where to connect the live feed from (`since`) so that nothing falls between."
            },
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        view = await posts.list_posts(self.deps, self.actor, request)
        self.set_header(POSITION, str(view.position))
        # Links carry the address that was asked, so what is kept is kept by it.
        address = f"{self.base_url}{self.request.path}"
        encoded = view.encoded.get(address)
        if encoded is None:
            view.encoded.clear()  # one address is enough; a client may claim any
            body = orjson.dumps(listed(self, view.page, request))
            encoded = view.encoded[address] = (body, etag_of(body))
        self.reply_bytes(encoded[0], etag=encoded[1])

    @endpoint(
        Endpoint(
            summary="Write a post, as JSON, or as a form with an image.",
            roles=GROUP,
            tag=TAG,
            body=schemas.NewPost(),
            form=schemas.NewPostForm(),
            answers={201: schemas.Post()},
            creates=True,
        )
    )
    async def post(self) -> None:
        fields = self.load()

        async def make(reserved_id: int | None) -> present.Json:
            return await posts.create_post(self.deps, self.actor, **fields, reserved_id=reserved_id)

        await self.create(make)


class PostHandler(ApiHandler):
    @endpoint(Endpoint(summary="One post.", roles=GROUP, tag=TAG, answers={200: schemas.Post()}, cached=True))
    async def get(self, post_id: str) -> None:
        self.reply(await posts.get_post(self.deps, self.actor, self.id_of(post_id, "Post")))

    @endpoint(
        Endpoint(
            summary="Delete a post of one's own, or as the group's trainer; comments and reactions go with it.",
            roles=GROUP,
            tag=TAG,
            answers={204: None},
        )
    )
    async def delete(self, post_id: str) -> None:
        await posts.delete_post(self.deps, self.actor, self.id_of(post_id, "Post"))
        self.reply_empty()


class ReactHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Toggle a reaction of one's own.",
            roles=GROUP,
            tag=TAG,
            body=schemas.NewReaction(),
            answers={200: schemas.ReactionState()},
        )
    )
    async def post(self, post_id: str) -> None:
        chosen = self.load()
        number = self.id_of(post_id, "Post")
        self.reply(await reactions.toggle_reaction(self.deps, self.actor, post_id=number, **chosen))


class ReactionsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Who reacted to a post, newest first.",
            roles=GROUP,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Reaction)},
            cached=True,
        )
    )
    async def get(self, post_id: str) -> None:
        request = page_request(self)
        number = self.id_of(post_id, "Post")
        page = await reactions.list_reactions(self.deps, self.actor, post_id=number, request=request)
        self.reply(listed(self, page, request))


class CommentsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="A post's comments, oldest first; `count` is the post's `comment_count`.",
            roles=GROUP,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Comment, counted=True)},
            cached=True,
        )
    )
    async def get(self, post_id: str) -> None:
        request = page_request(self)
        number = self.id_of(post_id, "Post")
        page, count = await comments.list_comments(self.deps, self.actor, post_id=number, request=request)
        self.reply(listed(self, page, request, count=count))

    @endpoint(
        Endpoint(
            summary="Comment on a post.",
            roles=GROUP,
            tag=TAG,
            body=schemas.NewComment(),
            answers={201: schemas.Comment()},
            creates=True,
        )
    )
    async def post(self, post_id: str) -> None:
        fields = self.load()
        number = self.id_of(post_id, "Post")

        async def make(reserved_id: int | None) -> present.Json:
            return await comments.create_comment(
                self.deps, self.actor, post_id=number, **fields, reserved_id=reserved_id
            )

        await self.create(make)


class CommentHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Delete a comment of one's own, or as the group's trainer.",
            roles=GROUP,
            tag=TAG,
            answers={204: None},
        )
    )
    async def delete(self, post_id: str, comment_id: str) -> None:
        number = self.id_of(post_id, "Post")
        comment = self.id_of(comment_id, "Comment")
        await comments.delete_comment(self.deps, self.actor, post_id=number, comment_id=comment)
        self.reply_empty()
