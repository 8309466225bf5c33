"""The clients: one session each, sync and async, with the same names."""

from interop.client._common import ClientOptions
from interop.client.asynchronous import AsyncSession
from interop.client.sync import Session

__all__ = ["AsyncSession", "ClientOptions", "Session"]
