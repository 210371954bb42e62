# slowfast in a container. By default for the CPU:
#
#   docker build --tag slowfast .
#   docker run --rm --shm-size 8g --volume "$PWD:/work" slowfast train --cfg X3D_S NUM_GPUS 0
#
# For NVIDIA GPUs, with the name of one of PyTorch's CUDA builds (see pytorch.org, "Get started"):
#
#   docker build --tag slowfast:cuda --build-arg TORCH=cu126 .
#   docker run --rm --gpus all --shm-size 16g --volume "$PWD:/work" slowfast:cuda train --cfg X3D_S
#
# The build brings its own CUDA libraries; the machine needs the driver and NVIDIA's container
# toolkit. Loader processes share memory: Docker's 64 MB of /dev/shm are too little for them.
FROM python:3.11-slim-bookworm

ARG TORCH=cpu
ENV PYTHONUNBUFFERED=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/${TORCH} \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

# The largest part first: it changes seldom, so that Docker keeps this layer.
WORKDIR /opt/slowfast
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt torch torchvision

COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[flow,hub]" \
    && useradd --create-home --uid 1000 user \
    && mkdir /work && chown user /work

# Files that a run writes into the mounted folder belong to user 1000; another one: --user.
USER 1000
WORKDIR /work
ENTRYPOINT ["python", "-m", "slowfast"]
CMD ["--help"]
