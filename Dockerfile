# One image for the API, the workers and the migrations: the command decides what a container runs.
# It builds with the classic builder and with BuildKit. The dependencies are one layer that depends on
# the lock file only: after a change of the code, only the last, small layer is built again.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


FROM ${PYTHON_IMAGE} AS base
# The wheels of PyTorch are large; slow connections need a long timeout.
ENV UV_HTTP_TIMEOUT=300 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true \
    PIP_NO_CACHE_DIR=1
WORKDIR /src


FROM base AS uv
COPY requirements/uv.txt requirements/
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt


FROM uv AS lock
COPY pyproject.toml uv.lock ./
COPY clients/python/pyproject.toml clients/python/
# Not the extra demo: it is for a checkout.
RUN /opt/uv/bin/uv export --frozen --no-dev --extra s3 --extra fast --extra onnx --extra parquet --no-emit-workspace --no-header --quiet \
    --output-file requirements.txt


FROM base AS dependencies
COPY requirements/uv.txt requirements/
COPY --from=lock /src/requirements.txt ./
# uv is removed in the same step, so that the running image cannot install anything.
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt \
    && /opt/uv/bin/uv venv --quiet /opt/accrue \
    && /opt/uv/bin/uv pip install --python /opt/accrue/bin/python --requirements requirements.txt \
       --require-hashes --no-deps --compile-bytecode --quiet \
    && rm -rf /opt/uv /opt/accrue/.lock /tmp/*


FROM dependencies AS project
COPY --from=uv /opt/uv /opt/uv
COPY . .
# Into a separate folder, which is copied over the dependencies.
RUN /opt/uv/bin/uv pip install --python /opt/accrue/bin/python --prefix /opt/project \
    --no-deps --build-constraints requirements/build.txt --compile-bytecode --quiet . ./clients/python


FROM dependencies
LABEL org.opencontainers.image.title="Accrue" \
    org.opencontainers.image.description="Teaches image classifiers new classes, and serves them" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 accrue \
    && useradd --uid 10001 --gid accrue --no-create-home --home-dir /data --shell /usr/sbin/nologin accrue \
    && install --directory --owner accrue --group accrue /data /spool /keys
# TMPDIR holds bodies of uploads while they arrive. TORCH_HOME holds weights that torchvision downloads.
# NVIDIA_* says what the NVIDIA runtime, if there is one, gives to the container.
ENV PATH=/opt/accrue/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ACCRUE_DATA_DIR=/data \
    ACCRUE_HOST=0.0.0.0 \
    ACCRUE_KEYS=required \
    TMPDIR=/spool \
    TORCH_HOME=/data/torch \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /data
USER 10001:10001
EXPOSE 8000
# Health check of the API, without any proxy of the environment. docker-compose.yml has the worker's.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/health/live'); assert c.getresponse().status == 200"]
ENTRYPOINT ["accrue"]
CMD ["up"]
COPY --from=project /opt/project /opt/accrue
