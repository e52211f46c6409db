# fuse in a container, for CPU and CUDA. docs/install.md has the commands.
#
#   docker build -t fuse .
#   docker build -t fuse:cuda --build-arg TORCH=cu128 .
#
# TORCH is one of the builds below https://download.pytorch.org/whl: cpu, cu126, cu128, ... Those of
# CUDA carry CUDA's libraries themselves, so both images stand on the same small base.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG TORCH=cpu
ARG EXTRAS=hf
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# PyTorch first, in a layer of its own: it is the largest part and changes least. The bounds are
# those of pyproject.toml.
RUN python -m venv /opt/fuse \
    && /opt/fuse/bin/pip install --index-url "https://download.pytorch.org/whl/${TORCH}" \
    "torch>=2.9" "torchvision>=0.24"
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY examples examples
COPY fuse fuse
RUN /opt/fuse/bin/pip install ".[${EXTRAS}]"

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/fuse /opt/fuse
# Any user may run it: kernels and weights are kept where everybody may write.
RUN mkdir --mode=1777 /data /cache
ENV PATH=/opt/fuse/bin:${PATH} \
    HOME=/cache \
    NUMBA_CACHE_DIR=/cache/kernels
WORKDIR /data
USER 1000:1000
ENTRYPOINT ["fuse"]
CMD ["--help"]
