# syntax=docker/dockerfile:1
# One image for every process of handoff; the command chooses which. Kafka and Redis have images of their own.
FROM python:3.11-slim AS build
ENV UV_CACHE_DIR=/cache/uv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/app
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /source
# The locked packages first: they change seldom, and this layer with them.
COPY requirements/runtime.txt requirements/
RUN --mount=type=cache,target=/cache/uv \
    uv venv /app && uv pip sync --require-hashes requirements/runtime.txt
COPY . .
RUN --mount=type=cache,target=/cache/uv \
    uv build --wheel --build-constraints requirements/dev.txt --require-hashes --out-dir /dist && \
    uv pip install --no-deps /dist/*.whl

FROM python:3.11-slim
# A volume that is mounted over `secrets` begins with its owner: tokens are written there by the same user.
RUN useradd --system --uid 10001 --create-home --home-dir /home/handoff handoff && \
    install -d -m 0700 -o 10001 -g 10001 /home/handoff/secrets
COPY --from=build /app /app
# A container has a host of its own, so its health port need not be a free one.
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 HANDOFF_HEALTH__PORT=8595
WORKDIR /home/handoff
USER 10001:10001
# MLLP, HTTP, console, health and metrics.
EXPOSE 2575 8575 8585 8595
STOPSIGNAL SIGTERM
ENTRYPOINT ["handoff"]
CMD ["--help"]
