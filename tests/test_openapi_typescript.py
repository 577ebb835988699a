"""The types that openapi-typescript generates from the OpenAPI document compile, and have the fields of responses."""

import json
import os
import shutil
import subprocess

import pytest

from analytics_api.openapi import document

PROGRAMS = ("openapi-typescript", "tsc")

CLIENT = """
import type { paths } from "./api";

type Reply = paths["/analytics/dashboard"]["get"]["responses"]["200"]["content"]["application/json"];
type Query = NonNullable<paths["/analytics/dashboard"]["get"]["parameters"]["query"]>;

export const query: Query = { days: 7, compare: "previous", country: ["IN"] };
export const change = (reply: Reply): number | undefined =>
  reply.overview && reply.overview.total_sessions - (reply.overview.previous?.total_sessions ?? 0);
"""


@pytest.mark.slow
def test_generated_types_compile(tmp_path):
    if not all(map(shutil.which, PROGRAMS)):
        skip = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        skip("openapi-typescript is needed: npm install --global openapi-typescript typescript")
    tmp_path.joinpath("api.json").write_text(json.dumps(document()), encoding="utf-8")
    tmp_path.joinpath("client.ts").write_text(CLIENT, encoding="utf-8")

    subprocess.run(["openapi-typescript", "api.json", "-o", "api.ts"], cwd=tmp_path, check=True)
    checked = subprocess.run(
        ["tsc", "--noEmit", "--strict", "--skipLibCheck", "--lib", "es5", "client.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout) == (0, "")
