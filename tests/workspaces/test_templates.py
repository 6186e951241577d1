"""Templates are data, and wrong data is refused with its field."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from homewright.errors import UsageError
from homewright.workspaces.errors import TemplateError
from homewright.workspaces.template_models import PREFIX_MAX, WORKLOAD_MAX, bytes_of
from homewright.workspaces.templates import (
    LATER,
    NodeTemplate,
    PodTemplate,
    digest,
    load,
    on_servers,
    parse,
    require,
    shipped,
)

GOOD = """
version: 1
name: t
title: T
summary: S
backend: node
default_preset: small
presets: {small: {title: Small, cpu: 0.5, memory: 512MiB, tasks: 100}}
mounts: [{folder: projects}]
opens: projects
"""


def test_the_shipped_template_fits_the_product() -> None:
    node = on_servers()["node"]
    assert [(mount.folder, mount.writable) for mount in node.mounts] == [
        ("projects", True),
        ("datasets", True),
        ("jobs", True),
    ]
    assert "A workspace is a shell on that server: it reaches" in node.warning
    assert node.probe.path == "/healthz"
    assert node.probe.start_timeout_s == 300
    assert node.preset("small").memory_bytes == 4 << 30


def test_a_small_preset_may_be_a_fraction() -> None:
    assert parse(GOOD, "t").preset("small").memory_bytes == 512 << 20


POD = """
version: 1
name: p
title: P
summary: S
backend: kubernetes
namespace: pods
prefix: pod
host: pod
policy: pods-isolation
image: registry.lan:5000/team/editor:1.2
default_preset: small
presets:
  small: {title: Small, cpu: 1, memory: 1GiB, cpu_request: 0.5, memory_request: 512MiB}
volumes: [{claim: "data-{slug}", path: /data, size: 1GiB}]
ports: [{name: http, service: 80, container: 8080}]
web: http
files: {password: "{password}"}
"""


def test_the_code_server_template_has_the_product_s_values() -> None:
    template = shipped()["code-server"]
    assert isinstance(template, PodTemplate)
    preset = template.preset(template.default_preset)
    assert (template.namespace, template.prefix, template.host) == ("codeserver-instances", "code-server", "code")
    assert [(one.claim, one.path, one.size) for one in template.volumes] == [
        ("workspace-{slug}", "/home/coder/workspace", "10GiB")
    ]
    assert [(port.service, port.container) for port in template.ports] == [(80, 8080)]
    assert (preset.cpu_request, preset.memory_request, preset.cpu, preset.memory) == (0.5, "1GiB", 2, "4GiB")
    assert (template.user, template.probe.path, template.probe.start_timeout_s) == (1000, "/healthz", 300)
    version = re.search(r"codercom/code-server:(\d+)\.(\d+)\.(\d+)$", template.image)
    assert version and tuple(map(int, version.groups())) >= (4, 124, 2), "older ones have known holes"


def test_the_devenv_template_has_the_product_s_values() -> None:
    template = shipped()["devenv"]
    assert isinstance(template, PodTemplate)
    preset = template.preset(template.default_preset)
    assert (template.namespace, template.prefix, template.policy) == ("devenv", "devenv", "devenv-isolation")
    assert template.credentials == "devenv-secrets-{slug}"
    assert [(one.claim, one.path, one.size) for one in template.volumes] == [
        ("workspace-{workload}", "/workspace", "10GiB"),
        ("bash-history-{workload}", "/commandhistory", "1GiB"),
        ("claude-config-{workload}", "/home/node/.claude", "1GiB"),
    ]
    assert [(port.service, port.container) for port in template.ports] == [(22, 2222), (8080, 8080)]
    assert (preset.cpu_request, preset.memory_request, preset.cpu, preset.memory) == (0.5, "2GiB", 2, "4GiB")
    assert template.environment["SHELL"].endswith("zsh")


def test_every_workload_s_name_fits() -> None:
    for template in shipped().values():
        if isinstance(template, PodTemplate):
            assert len(template.prefix) + 1 + 40 <= WORKLOAD_MAX
    assert PREFIX_MAX == 11


def test_a_digest_says_whether_a_template_was_changed() -> None:
    before = parse(POD, "p")
    assert digest(before) == digest(parse(POD + "\n# a remark\n", "p"))
    assert digest(before) != digest(parse(POD.replace(":1.2", ":1.3"), "p"))
    # Workspaces that were made before templates could say it are of no older version.
    assert digest(before) == digest(parse(POD + "\ntolerations: []\n", "p"))
    assert digest(before) == hashlib.sha256(before.model_dump_json(exclude={*LATER}).encode()).hexdigest()[:12]
    assert digest(before) != digest(parse(POD + "\ntolerations: [{key: example.org/mine}]\n", "p"))


@pytest.mark.parametrize(
    ("before", "after", "field", "says"),
    [
        ("editor:1.2", "editor", "image", "needs a tag that is not latest"),
        ("editor:1.2", "editor:latest", "image", "needs a tag that is not latest"),
        ("editor:1.2", "Editor:1", "image", "is no name of an image"),
        ("data-{slug}", "data", "volumes.0.claim", "two people would get the same one"),
        ("data-{slug}", "Data {slug}", "volumes.0.claim", "lower case"),
        ("path: /data", "path: data", "volumes.0.path", ""),
        ("path: /data", "path: /etc/homewright", "", "is where the files are"),
        ("container: 8080", "container: 80", "ports.http.container", "at least 1024"),
        ("prefix: pod", "prefix: much-too-long", "prefix", ""),
        ("namespace: pods", "namespace: pods\nuser: 0", "user", "at least 1"),
        ("web: http", "web: ssh", "", "web ssh is none of its ports"),
        ("{password}", "none", "", "nobody would be asked for one"),
        ("cpu_request: 0.5", "cpu_request: 2", "presets.small", "requests more than its limit"),
        ("namespace: pods", "namespace: pods\nprivileged: true", "privileged", "there is no such field"),
        ("namespace: pods\n", "", "", "the field namespace is missing"),
        ("backend: kubernetes", "backend: docker", "backend", "must be node or kubernetes"),
        ("backend: kubernetes\n", "", "backend", "missing"),
        ("cpu: 1,", 'cpu: "1",', "presets.small.cpu", "number"),
        ("web: http", "web: http\ntolerations: [{value: x}]", "tolerations.0", "missing"),
        ("web: http", "web: http\ntolerations: [{key: a b}]", "tolerations", ""),
        ("web: http", "web: http\ntolerations: [{key: a, effect: Never}]", "tolerations", "NoSchedule"),
    ],
)
def test_a_wrong_pod_template_names_line_field_and_reason(before: str, after: str, field: str, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse(POD.replace(before, after), "p.yaml")
    said = refused.value.as_text()
    assert re.search(r"p\.yaml, line \d+, column \d+", said), said
    assert field in said and says in said, said
    assert refused.value.do


def test_an_administrator_adds_a_template_without_code(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POD)
    found = load(tmp_path)
    assert list(found) == ["code-server", "devenv", "node", "p"]
    assert require(found, "p").title == "P"
    with pytest.raises(UsageError, match="There is no template q"):
        require(found, "q")


def test_a_template_of_the_site_s_own_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    own = POD.replace("name: p\n", "name: devenv\n")
    (tmp_path / "devenv.yml").write_text(own)
    assert load(tmp_path)["devenv"].title == "P"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.yaml": POD, "b.yaml": POD}, "another file has a template p too"),
        ({"a.yaml": POD.replace("prefix: pod", "prefix: x").replace("host: pod", "host: code")}, "use the same names"),
        (
            {"a.yaml": POD, "b.yaml": POD.replace("name: p\n", "name: q\n").replace("host: pod", "host: q")},
            "use the same names",
        ),
        ({"a.yaml": "[]"}, "must hold fields"),
        ({"a.yaml": "a: &b c\n"}, "cannot be read"),
    ],
)
def test_templates_that_would_share_anything_are_refused(tmp_path: Path, files: dict[str, str], says: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(TemplateError) as refused:
        load(tmp_path)
    assert says in refused.value.as_text()


def test_sizes_are_powers_of_two() -> None:
    assert bytes_of("10GiB") == 10 << 30
    assert isinstance(shipped()["node"], NodeTemplate)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("version: 1", "version: 2", "version"),
        ("512MiB", "512MB", "presets.small.memory"),
        ("cpu: 0.5", "cpu: 0", "presets.small.cpu"),
        ("default_preset: small", "default_preset: big", "default_preset big"),
        ("opens: projects", "opens: jobs", "opens jobs"),
        ("folder: projects", "folder: .ml-agent", "mounts.0.folder"),
        ("folder: projects", "folder: ../etc", "mounts.0.folder"),
        ("opens: projects", "opens: projects\nenvironment: {HTTPS_PROXY: 'http://p:3128'}", "proxy"),
        ("opens: projects", "opens: projects\nenvironment: {'A B': c}", "'A B'"),
        ("opens: projects", 'opens: projects\nenvironment: {A: "x\\ny"}', "'A'"),
        ("opens: projects", "opens: projects\nprobe: {path: /login}", "probe.path"),
        ("opens: projects", "opens: projects\nextra: 1", "extra"),
        ("title: T", "title: [", "cannot be read"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(before: str, after: str, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse(GOOD.replace(before, after), "t.yaml")
    assert "t.yaml" in refused.value.what
    assert says in refused.value.as_text()


def test_an_unknown_preset_names_the_ones_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        shipped()["node"].preset("huge")
    assert "small, medium, large" in refused.value.as_text()
