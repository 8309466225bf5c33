ARG BASE_IMAGE=$base_image
FROM $${BASE_IMAGE}
COPY . /tests/
