"""Media in a bucket of S3, or of what speaks like it (R2, MinIO), by boto3 in threads.

Which is an optional package: nothing here is imported by it being named, only by a bucket being opened.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO

from config.settings import Settings
from config.values import Bucket
from store.media import Media, Stored

# S3's own limit for one call.
DELETED_AT_ONCE = 1000
ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
# Seconds, and tries: whoever uploads or looks at a picture waits for it.
CONNECT_SECONDS, READ_SECONDS, TRIES = 3, 10, 3


async def open_bucket(settings: Settings) -> "BucketMedia":
    """Give the media in the bucket of the settings. Nothing is asked of it yet. Raises ``TypeError`` without one."""
    if settings.media_bucket is None:
        raise TypeError("no bucket is set")
    # Importing takes half a second and 30 MiB, and is only done where there is a bucket.
    return await asyncio.to_thread(_open, settings, settings.media_bucket)


def _open(settings: Settings, bucket: Bucket) -> "BucketMedia":
    boto3, config = import_module("boto3"), import_module("botocore.config")
    exceptions = import_module("botocore.exceptions")
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
        aws_session_token=settings.aws_session_token,
        region_name=settings.aws_region or "us-east-1",
        config=config.Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            # R2 and MinIO do not know the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    failures = (
        exceptions.BotoCoreError,
        exceptions.ClientError,
        import_module("boto3.exceptions").S3UploadFailedError,
    )
    transfer = import_module("boto3.s3.transfer").TransferConfig(use_threads=False)
    return BucketMedia(client, bucket, failures, transfer)


class BucketMedia(Media):
    """Media in a bucket."""

    def __init__(
        self, client: Any, bucket: Bucket, failures: tuple[type[Exception], ...], transfer: Any
    ) -> None:
        super().__init__(failures)
        self._transfer = transfer
        self._client = client
        self._bucket = bucket

    async def close(self) -> None:
        await super().close()
        self._client.close()

    def _where(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": f"{self._bucket.prefix}{name}"}

    def _put(self, name: str, content: bytes) -> None:
        self._client.put_object(**self._where(name), Body=content)

    def _put_file(self, name: str, file: BinaryIO) -> None:
        """In parts where it is large, one after the other."""
        where = self._where(name)
        self._client.upload_fileobj(file, where["Bucket"], where["Key"], Config=self._transfer)

    def _size(self, name: str) -> int | None:
        found = self._found(partial(self._client.head_object, **self._where(name)))
        return None if found is None else int(found["ContentLength"])

    def _read(self, name: str, first: int, count: int) -> bytes | None:
        wanted = f"bytes={first}-{first + count - 1}"
        found = self._found(partial(self._client.get_object, **self._where(name), Range=wanted))
        if found is None:
            return None
        with found["Body"] as body:
            content: bytes = body.read()
            return content

    def _found(self, ask: "partial[dict[str, Any]]") -> dict[str, Any] | None:
        """Give what is answered; None where there is no such object."""
        try:
            return ask()
        except self._failures as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in ABSENT:
                return None
            raise

    def _delete(self, names: list[str]) -> None:
        for start in range(0, len(names), DELETED_AT_ONCE):
            some = names[start : start + DELETED_AT_ONCE]
            objects = [{"Key": f"{self._bucket.prefix}{name}"} for name in some]
            answer = self._client.delete_objects(
                Bucket=self._bucket.name, Delete={"Objects": objects, "Quiet": True}
            )
            if answer.get("Errors"):
                raise OSError(f"{len(answer['Errors'])} objects could not be deleted")

    def _list(self) -> Iterator[Stored]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.name, Prefix=self._bucket.prefix
        )
        for page in pages:
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(self._bucket.prefix)
                yield Stored(name, found["Size"], found["LastModified"])
