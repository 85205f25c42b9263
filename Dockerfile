# One image for the API, the workers and the migrations: the command says which a container is.
# Works with the classic builder and with BuildKit. The dependencies are one layer made from the lock
# file alone, so a change of the code makes the last small layers anew and nothing else.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# As in the Makefile.
ARG UV_VERSION=0.13.8


FROM ${PYTHON_IMAGE} AS dependencies
ARG UV_VERSION
# The wheels of PyTorch are large and must come through slow lines too.
ENV UV_HTTP_TIMEOUT=300 \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/accrue \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml uv.lock ./
# uv goes again in the same step: a running container installs nothing.
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet uv==${UV_VERSION} \
    && /opt/uv/bin/uv sync --frozen --no-dev --no-install-project --compile-bytecode --quiet \
    && rm -rf /opt/uv /tmp/*


FROM dependencies AS project
ARG UV_VERSION
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet uv==${UV_VERSION}
COPY . .
# Into a folder of its own, to be laid over the dependencies.
RUN /opt/uv/bin/uv pip install --python /opt/accrue/bin/python --prefix /opt/project \
    --no-deps --compile-bytecode --quiet .


FROM dependencies
RUN groupadd --gid 10001 accrue \
    && useradd --uid 10001 --gid accrue --no-create-home --home-dir /data --shell /usr/sbin/nologin accrue \
    && install --directory --owner accrue --group accrue /data /spool
WORKDIR /data
USER 10001:10001
ENV PATH=/opt/accrue/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ACCRUE_DATA_DIR=/data \
    ACCRUE_HOST=0.0.0.0 \
    MPLCONFIGDIR=/tmp/matplotlib \
    # Bodies of uploads are kept here while they come in.
    TMPDIR=/spool \
    # Weights that torchvision downloads are kept with the data.
    TORCH_HOME=/data/torch \
    # For the NVIDIA runtime. Without one they say nothing.
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8000
# Of the API; a worker's is in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["accrue"]
CMD ["up"]
# Last: of a change of the code this is all that a registry or another machine has to take.
COPY --from=project /opt/project /opt/accrue
