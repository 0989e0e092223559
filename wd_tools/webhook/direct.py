"""A request that goes to the address that was named, and to no other: it carries a secret."""

from http.client import HTTPException
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _Stay(HTTPRedirectHandler):
    """Python's own follows a redirect to any host, with all headers and as a GET."""

    def redirect_request(self, *_: object) -> None:
        """A redirect becomes an HTTPError, like every other answer that isn't 2xx."""


def send(request: Request, seconds: float, most: int) -> bytes:
    """The answer's body, or its first `most` bytes. Raises HTTPError for an answer that isn't 2xx,
    else URLError, whose `reason` repeats no header."""
    try:
        with build_opener(_Stay).open(request, timeout=seconds) as response:
            body: bytes = response.read(most)
            return body
    except URLError:  # an HTTPError is one
        raise
    except UnicodeError:
        raise URLError("its address or its secret can't be sent in a request") from None
    except (OSError, HTTPException, ValueError) as error:
        raise URLError(str(error) or type(error).__name__) from None
