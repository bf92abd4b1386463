# One image runs every process: API, worker, beat, Flower and the migrations. docker-compose.yml says which.

FROM python:3.13-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The locked packages first: they change less often than our own code.
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/ciosync \
    && pip --python /opt/ciosync/bin/python install --requirement requirements/production.txt

# The wheel's builder, cut with its hashes out of the development lock.
RUN awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } keep' \
        requirements/dev.txt > requirements/builder.txt \
    && pip install --no-deps --requirement requirements/builder.txt

COPY . .
# Our own wheel was built a moment ago from these files: there is no hash to hold it to.
RUN PIP_REQUIRE_HASHES=0 pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel . \
    && PIP_REQUIRE_HASHES=0 pip --python /opt/ciosync/bin/python install --no-deps --no-index /wheel/*.whl


FROM python:3.13-slim
LABEL org.opencontainers.image.title="ciosync" \
      org.opencontainers.image.licenses="MIT"
# gunicorn beats in memory, and its remote control stays shut.
ENV PATH="/opt/ciosync/bin:$PATH" \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm --no-control-socket"
RUN groupadd --gid 10001 ciosync \
    && useradd --uid 10001 --gid ciosync --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ciosync
COPY --from=builder /opt/ciosync /opt/ciosync
WORKDIR /srv
USER 10001:10001
EXPOSE 8000
ENTRYPOINT []
CMD ["gunicorn", "-k", "gthread", "-w", "1", "--threads", "32", "api.wsgi:app", "--bind", "0.0.0.0:8000"]
