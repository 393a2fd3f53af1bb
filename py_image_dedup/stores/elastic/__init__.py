"""The shared store, on an Elasticsearch server: the only package that knows the client library."""

from py_image_dedup.stores.elastic.care import ElasticCare
from py_image_dedup.stores.elastic.connection import Login
from py_image_dedup.stores.elastic.store import ElasticStore

__all__ = ["ElasticCare", "ElasticStore", "Login"]
