# docker build -t training-aware-nas .                                for CPUs
# docker build -t training-aware-nas --build-arg DEVICE=cuda .        for NVIDIA GPUs; run it with --gpus all
# docker run --rm --shm-size 8g -v "$PWD/runs:/home/nas/runs" -v /data:/data:ro training-aware-nas \
#     search cifar10 --set data.source=/data/train.parquet --run runs/first
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS installed
ARG DEVICE=cpu
ARG CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/nas
ENV PATH=/opt/nas/bin:$PATH
WORKDIR /src
COPY pyproject.toml ./
# What changes seldom first, torch before all: a layer is built again only when what it is made of changes.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && case "$DEVICE" in \
        cpu) pip install "$(grep '^torch' requirements.txt)" --index-url "$CPU_INDEX" ;; \
        cuda) pip install "$(grep '^torch' requirements.txt)" "nvidia-ml-py>=12.535" ;; \
        *) echo "DEVICE=$DEVICE: cpu or cuda is expected" >&2; exit 2 ;; \
    esac
# With Ray's job server, which `ray job submit` and KubeRay ask, and the faster decoder of JPEG.
RUN pip install -r requirements.txt "ray[default]" simplejpeg
COPY README.md LICENSE ./
COPY search_spaces search_spaces
COPY trials trials
COPY analysis analysis
COPY nas nas
RUN pip install --no-deps .

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="training-aware-nas" org.opencontainers.image.licenses="Apache-2.0"
# Own kernels are compiled for the processor on which they run, and Triton's launcher likewise.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home nas && install -d -o nas -g nas /home/nas/runs /home/nas/.cache
COPY --from=installed /opt/nas /opt/nas
ENV PATH=/opt/nas/bin:$PATH PYTHONUNBUFFERED=1
USER nas
WORKDIR /home/nas
ENTRYPOINT ["nas"]
CMD ["--help"]
