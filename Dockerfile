# An image that trains and serves models: CPUs by default, NVIDIA GPUs or TPUs with a build argument.
#
#     docker build --tag cgar_jax .
#     docker build --tag cgar_jax:cuda --build-arg EXTRAS=train,report,cuda .
#     docker run --volume "$PWD/runs:/cgar/runs" cgar_jax train sudoku_mini
#     docker run --gpus all --volume "$PWD/runs:/cgar/runs" cgar_jax:cuda train sudoku_extreme
#
# The CUDA libraries are wheels that JAX depends on, so one base image serves all variants; the host
# provides the driver and the NVIDIA container toolkit.
FROM python:3.12-slim

ARG EXTRAS=train,report
WORKDIR /cgar
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY cgar_jax cgar_jax
COPY configs configs
RUN pip install --no-cache-dir ".[$EXTRAS]" --constraint constraints.txt

ENTRYPOINT ["cgar"]
CMD ["--help"]
