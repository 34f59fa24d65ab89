"""Health check of containers without curl: exit code 0 if a GET of the URL answers 200 in time.

`python -I ready.py URL`; what the server says besides goes to stdout, where `docker inspect` shows it. The API's port
is asked by TLS where BROADCAST_API_TLS_CERT_FILE is set. Its certificate is not checked, as it is of another name.
"""

import os
import ssl
import sys
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

ANSWER_SECONDS = 4.0
"""Less than the health check's own timeout, so that a hanging process is reported as such."""


def main(url: str) -> int:
    """0 when `url` answers 200, else 1."""
    if os.environ.get("BROADCAST_API_TLS_CERT_FILE") and str(urlsplit(url).port) == os.environ.get(
        "BROADCAST_API_PORT"
    ):
        url = url.replace("http://", "https://", 1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with build_opener(ProxyHandler({}), HTTPSHandler(context=context)).open(url, timeout=ANSWER_SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except HTTPError as error:
        sys.stdout.write(f"{error.code} {error.read(2000).decode(errors='replace')}")
    except (URLError, OSError) as error:
        sys.stdout.write(f"{url}: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
