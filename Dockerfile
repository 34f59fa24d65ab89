# One image for every stage, the API and the simulator: `broadcast run STAGE` says which it is.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt requirements/
# What builds the wheel stays in an environment of its own, so that the image holds only what runs.
RUN python -m venv /opt/tocsin/python \
    && /opt/tocsin/python/bin/pip install --require-hashes -r requirements/runtime.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY examples/flood.xml examples/
COPY schemas schemas
COPY broadcast broadcast
COPY streams streams
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && /opt/tocsin/python/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/tocsin/python/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/tocsin --create-home --shell /usr/sbin/nologin tocsin
COPY --from=build /opt/tocsin /opt/tocsin
COPY ops/ready.py /opt/tocsin/ready.py
ENV PATH=/opt/tocsin/python/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/tocsin
CMD ["broadcast", "--help"]
