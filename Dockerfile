# docker build -t training-aware-nas .
# docker run --rm --gpus all --shm-size 8g -v "$PWD/runs:/home/nas/runs" -v /data:/data:ro training-aware-nas \
#     search nas/searches/cifar10.yaml --set data.source=/data/train.parquet --run runs/first
FROM python:3.12-slim
RUN useradd --create-home nas
WORKDIR /home/nas
COPY --chown=nas . .
RUN pip install --no-cache-dir .
USER nas
RUN mkdir -p runs
ENTRYPOINT ["nas"]
CMD ["--help"]
