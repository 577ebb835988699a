"""The response with the script a.js. test_browser_collect.py runs the script in a browser."""

import gzip

import pytest

from analytics_api.collector.script import minify

pytestmark = pytest.mark.any_engine

MAX_COMPRESSED_BYTES = 2_000


def test_script_is_small_and_cacheable(site):
    response = site.client.get("/a.js", headers={"Accept-Encoding": "gzip"})

    assert len(response.data) < MAX_COMPRESSED_BYTES
    assert response.content_type == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "public, max-age=86400"
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(response.data) == site.client.get("/a.js").data


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_script_with_its_etag_is_304(site, encoding):
    etag = site.client.get("/a.js", headers={"Accept-Encoding": encoding}).headers["ETag"]

    response = site.client.get("/a.js", headers={"If-None-Match": etag})

    assert (response.status_code, response.data) == (304, b"")


def test_script_is_only_read(site):
    head, post = site.client.head("/a.js"), site.client.post("/a.js")

    assert (head.status_code, head.data) == (200, b"")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET, HEAD")


def test_minify_shortens_names_and_keeps_strings_and_properties():
    source = """
  // A comment.
  const value = (count) => {
    return { count: count, text: "value count" };
  };
  const first = async () => {};
  let second, third = [];
  for (const each of third) third.push(...each.value);
"""

    assert minify(source) == (
        'let c=a=>{return{count:a,text:"value count"}},e=async()=>{};let f,b=[];for(let d of b)b.push(...d.value);'
    )
