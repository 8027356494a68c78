"""config/load.py: file, environment and flags to options, with every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.config import base_url_problem, load
from tidegate.errors import ConfigError
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import LimitOptions, ModelLimit, StaticKey, TagLimit
from tidegate.server.options import GatewayOptions

UPSTREAM = '[[upstream]]\nname = "main"\nbase_url = "http://127.0.0.1:8000/v1"\n'
HASH = hash_key(new_key())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, environ: dict[str, str] | None = None, **flags: str) -> GatewayOptions:
    Path("tidegate.toml").write_text(text)
    return load("tidegate.toml", environ or {}, flags={f"server.{name}": value for name, value in flags.items()})


def problems(text: str | None, environ: dict[str, str] | None = None, **flags: str) -> list[str]:
    """The lines of the error, without the file's name."""
    if text is not None:
        Path("tidegate.toml").write_text(text)
    path = None if text is None else "tidegate.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, flags={f"server.{name}": value for name, value in flags.items()})
    return [line.removeprefix("tidegate.toml:").removeprefix(" ") for line in caught.value.message.splitlines()]


class TestValues:
    def test_a_file_fills_the_options_of_every_room(self) -> None:
        options = read(
            '[server]\nport = 9000\ncors_origins = ["*"]\n[stream]\nidle_timeout = 5\non_disconnect = "drain"\n'
            '[[upstream]]\nname = "a"\nbase_url = "https://a.example/v1"\napi_keys = ["literal"]\nweight = 2\n'
            'models = ["x", "y*"]\naliases = { fast = "x" }\nheaders = { X-Org = "o" }\n'
            f'[[auth.key]]\nid = "app"\nhash = "{HASH}"\nmodels = ["x"]\nadmin = true\n'
        )
        assert (options.server.port, options.server.cors_origins) == (9000, ("*",))
        assert (options.stream.idle_timeout, options.stream.on_disconnect) == (5.0, "drain")
        (upstream,) = options.upstreams
        assert (upstream.name, upstream.api_keys, upstream.weight) == ("a", ("literal",), 2.0)
        assert (upstream.models, upstream.aliases, upstream.headers) == (("x", "y*"), {"fast": "x"}, {"X-Org": "o"})
        assert options.auth.keys == (StaticKey(id="app", hash=HASH, models=("x",), admin=True),)

    def test_models_as_a_table_are_aliases_and_nothing_else(self) -> None:
        (upstream,) = read(UPSTREAM + 'models = { fast = "small" }').upstreams
        assert (upstream.models, upstream.aliases) == ((), {"fast": "small"})

    def test_models_as_a_table_and_aliases_go_together(self) -> None:
        (upstream,) = read(UPSTREAM + 'models = { fast = "small" }\naliases = { big = "large" }').upstreams
        assert upstream.aliases == {"fast": "small", "big": "large"}

    def test_limits_of_tags_and_models_are_lists_of_tables(self) -> None:
        options = read(
            UPSTREAM
            + '[limits]\nrpm = 9\n[[limits.tag]]\ntag = "team=*"\ntpm = 5\n[[limits.model]]\nmodel = "m"\nrpm = 1'
        )
        assert options.limits == LimitOptions(
            rpm=9, tags=(TagLimit(tag="team=*", tpm=5),), models=(ModelLimit(model="m", rpm=1),)
        )

    def test_a_safety_profile_of_ones_own_is_a_list_of_tables(self) -> None:
        own = '[[safety.profile.own]]\nname = "ticket"\ncore = "T-[0-9]+"'
        safety = read(
            f'{UPSTREAM}[safety]\nuse = "mine"\n[[safety.profile]]\nname = "mine"\nrules = ["email"]\n{own}'
        ).safety
        assert (safety.use, safety.profiles[0].rules, safety.profiles[0].own[0].core) == (
            "mine",
            ("email",),
            "T-[0-9]+",
        )

    def test_an_upstream_may_be_left_to_the_caller(self) -> None:
        Path("x.toml").write_text("")
        assert load("x.toml", {}, require_upstream=False).upstreams == ()

    def test_a_byte_order_mark_is_no_mistake(self) -> None:
        Path("x.toml").write_text("\ufeff" + UPSTREAM)
        assert load("x.toml", {}).upstreams

    def test_secrets_are_looked_up_but_stay_references(self) -> None:
        Path("key").write_text("s3cret\n")
        options = read(UPSTREAM + 'api_keys = ["env:KEY", "file:key"]', {"KEY": "s3cret"})
        assert options.upstreams[0].api_keys == ("env:KEY", "file:key")
        assert "s3cret" not in repr(options)

    def test_no_secret_stands_in_a_repr(self) -> None:
        options = read(UPSTREAM + 'api_keys = ["sk-literal"]\nheaders = { X-Key = "sk-header" }')
        assert "sk-" not in repr(options)


class TestAnonymous:
    def test_without_a_file_this_machine_needs_no_key(self) -> None:
        assert load(None, {}).auth.anonymous
        assert load(None, {}, flags={"server.host": "::1"}).auth.anonymous
        assert load(None, {}, flags={"server.host": "localhost"}).auth.anonymous

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "gateway.example"])
    def test_without_a_file_others_do(self, host: str) -> None:
        assert not load(None, {}, flags={"server.host": host}).auth.anonymous

    def test_without_a_file_a_key_closes_the_door(self) -> None:
        environ = {"TIDEGATE_AUTH__KEY__0__ID": "app", "TIDEGATE_AUTH__KEY__0__HASH": HASH}
        assert not load(None, environ).auth.anonymous

    def test_a_variable_has_the_last_word(self) -> None:
        assert not load(None, {"TIDEGATE_AUTH__ANONYMOUS": "false"}).auth.anonymous
        assert load(None, {"TIDEGATE_AUTH__ANONYMOUS": "yes", "TIDEGATE_SERVER__HOST": "0.0.0.0"}).auth.anonymous

    def test_with_a_file_the_default_is_closed(self) -> None:
        assert not read(UPSTREAM).auth.anonymous
        assert read(UPSTREAM + "[auth]\nanonymous = true").auth.anonymous


class TestEnvironment:
    def test_a_variable_wins_over_the_file_and_a_flag_over_both(self) -> None:
        text = UPSTREAM + "[server]\nport = 1\n[stream]\nidle_timeout = 1"
        environ = {"TIDEGATE_SERVER__PORT": "2", "TIDEGATE_STREAM__IDLE_TIMEOUT": " 2.5 "}
        options = read(text, environ, port="3")
        assert (options.server.port, options.stream.idle_timeout) == (3, 2.5)

    def test_a_variable_changes_one_key_of_an_upstream(self) -> None:
        (upstream,) = read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__BASE_URL": "http://other/v1"}).upstreams
        assert (upstream.name, upstream.base_url) == ("main", "http://other/v1")

    def test_upstreams_can_be_made_of_variables_alone(self) -> None:
        environ = {
            f"TIDEGATE_UPSTREAM__{index}__{key}": value
            for index in range(11)
            for key, value in (("NAME", f"u{index}"), ("BASE_URL", "http://h/v1"))
        }
        assert [upstream.name for upstream in load(None, environ).upstreams] == [f"u{index}" for index in range(11)]

    @pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b,"])
    def test_a_list_is_commas_or_json(self, text: str) -> None:
        assert read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__MODELS": text}).upstreams[0].models == ("a", "b")

    @pytest.mark.parametrize("text", ["a=b, c = d", '{"a": "b", "c": "d"}'])
    def test_a_table_is_pairs_or_json(self, text: str) -> None:
        assert read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__ALIASES": text}).upstreams[0].aliases == {"a": "b", "c": "d"}

    def test_models_as_a_json_object_are_aliases(self) -> None:
        (upstream,) = read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__MODELS": '{"a": "b"}'}).upstreams
        assert (upstream.models, upstream.aliases) == ((), {"a": "b"})

    @pytest.mark.parametrize(
        ("text", "value"), [("true", True), ("ON", True), ("1", True), ("no", False), ("0", False)]
    )
    def test_truth_has_its_usual_words(self, text: str, value: bool) -> None:
        assert read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__TLS_VERIFY": text}).upstreams[0].tls_verify is value

    def test_an_optional_text_can_be_given(self) -> None:
        Path("ca.pem").write_text("x")
        assert read(UPSTREAM, {"TIDEGATE_UPSTREAM__0__CA_FILE": "ca.pem"}).upstreams[0].ca_file == "ca.pem"

    def test_what_is_shared_may_be_a_variable(self) -> None:
        assert load(None, {"TIDEGATE_SHARED__REDIS": "redis://y"}).shared.redis == "redis://y"

    def test_the_file_can_be_named_by_a_variable(self) -> None:
        Path("other.toml").write_text(UPSTREAM)
        assert load(None, {"TIDEGATE_CONFIG": "other.toml"}).upstreams[0].name == "main"

    def test_what_kubernetes_sets_beside_a_service_is_not_meant_for_us(self) -> None:
        environ = {
            "TIDEGATE_SERVICE_HOST": "10.0.0.1",
            "TIDEGATE_SERVICE_PORT_HTTP": "80",
            "TIDEGATE_PORT": "tcp://10.0.0.1:80",
            "TIDEGATE_PORT_80_TCP_ADDR": "10.0.0.1",
        }
        assert load(None, environ) == load(None, {})

    def test_other_programs_variables_are_none_of_ours(self) -> None:
        assert load(None, {"PATH": "/bin", "tidegate_x": "1"}) == load(None, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[stream]\nidle_timout = 5", '2: unknown key "idle_timout" in [stream]; did you mean "idle_timeout"?'),
        ("[stream]\nport = 5", '2: unknown key "port" in [stream]; it belongs under [server]'),
        (
            "[auth]\nqqq = 5",
            '2: unknown key "qqq" in [auth]; known keys: anonymous, secret, key',
        ),
        ("[strem]", "1: unknown section [strem]; did you mean [stream]?"),
        ("[upstreams]", "1: unknown section [upstreams]; did you mean [[upstream]]?"),
        (
            "[qqq]",
            (
                "1: unknown section [qqq]; known sections: "
                "[server], [stream], [[upstream]], [auth], [safety], [ledger], [[price]], [limits], [shared]"
            ),
        ),
        ('[safety]\nuse = "stict"', "1: [safety]: there is no profile of that name; there are off, default, strict"),
        ("idle_timeout = 5", '1: "idle_timeout" belongs under [stream]'),
        ("base_url = 5", '1: "base_url" belongs under [[upstream]]'),
        ("serve = 5", '1: unknown key "serve" outside of a section; did you mean [server]?'),
        ("stream = 5", "1: [stream] must be a table; write [stream] on a line of its own"),
        ("ledger = 5", "1: [ledger] must be a table; write [ledger] on a line of its own"),
        ('[ledger]\nurll = "x"', '2: unknown key "urll" in [ledger]; did you mean "url"?'),
        ("[auth]\nkey = [1]", "2: [auth.key] must be a list of tables; write [[auth.key]] with two brackets"),
        ('[server]\nport = "80"', "2: [server] port must be a whole number, not text; write for example port = 8080"),
        (
            "[server]\nport = true",
            "2: [server] port must be a whole number, not true or false; write for example port = 8080",
        ),
        (
            "[server]\nport = 1.5",
            "2: [server] port must be a whole number, not a fraction; write for example port = 8080",
        ),
        ("[server]\nport = 65536", "2: [server] port is 65536; it must be between 0 and 65535"),
        ("[server]\nport = []", "2: [server] port must be a whole number, not a list; write for example port = 8080"),
        ("[server]\nport = {}", "2: [server] port must be a whole number, not a table; write for example port = 8080"),
        (
            "[server]\nport = 2026-01-01",
            "2: [server] port must be a whole number, not a date or time; write for example port = 8080",
        ),
        ("[server]\nhost = 1", '2: [server] host must be text, not a number; write for example host = "127.0.0.1"'),
        (
            '[server]\nhost = " "',
            '2: [server] host is empty; write "127.0.0.1" for this machine only, "0.0.0.0" for all',
        ),
        ("[server]\nworkers = 0", "2: [server] workers is 0; it must be between 1 and 1024"),
        (
            '[server]\nworkers = "all"',
            '2: [server] workers must be a whole number, not text; write for example workers = 1, or "auto"',
        ),
        ("[server]\nmax_streams = 0", "2: [server] max_streams is 0; it must be 1 or more"),
        ("[server]\ndrain_timeout = -1", "2: [server] drain_timeout is -1.0; it must be 0 or more"),
        (
            '[server]\nlog_level = "warn"',
            (
                '2: [server] log_level must be one of "debug", "info", "warning", "error", "critical"; '
                'did you mean "warning"?'
            ),
        ),
        ('[server]\nlog_format = "xml"', '2: [server] log_format must be one of "auto", "json", "console"'),
        (
            '[server]\ncors_origins = ["https://a.example/"]',
            (
                '2: [server] cors_origins has "https://a.example/", which is no origin; '
                'write scheme and host only: "https://app.example.com"'
            ),
        ),
        (
            '[server]\ncors_origins = "*"',
            (
                "2: [server] cors_origins must be a list of text, not text; "
                'write for example cors_origins = ["https://app.example.com"]'
            ),
        ),
        (
            "[server]\ncors_origins = [1]",
            (
                "2: [server] cors_origins must be a list of text, not one with other things in it; "
                'write for example cors_origins = ["https://app.example.com"]'
            ),
        ),
        (
            "[stream]\ntotal_timeout = 0",
            "2: [stream] total_timeout is 0.0; it must be more than 0 (to wait long, write a large number)",
        ),
        (
            "[stream]\nheartbeat = nan",
            "2: [stream] heartbeat must be a number, not nan or inf; write for example heartbeat = 15.0",
        ),
        ("[stream]\nheartbeat = -1", "2: [stream] heartbeat is -1.0; it must be 0 or more"),
        ("[stream]\nmax_event_bytes = 1", "2: [stream] max_event_bytes is 1; it must be 1024 or more"),
        (
            '[stream]\non_disconnect = "cancle"',
            '2: [stream] on_disconnect must be one of "cancel", "drain"; did you mean "cancel"?',
        ),
        (
            "[stream]\non_disconnect = 1",
            '2: [stream] on_disconnect must be text, not a number; write for example on_disconnect = "cancel"',
        ),
        (
            '[auth]\nanonymous = "yes"',
            "2: [auth] anonymous must be true or false, not text; write for example anonymous = false",
        ),
        (
            f'[[auth.key]]\nid = "anonymous"\nhash = "{HASH}"',
            '2: [[auth.key]] id must be a name of its own, not empty and not "anonymous"',
        ),
        (
            '[[auth.key]]\nid = "a"\nhash = "abc"',
            '3: [[auth.key]] hash must be "sha256:" and 64 hex digits; make one with: tidegate keys hash',
        ),
        (
            '[[auth.key]]\nid = "a"\nhash = "tg-Z8TxfZcswGcUqcwYgRatDvn6DedaD0599k7VUhHbKY123G538"',
            "3: [[auth.key]] hash is the key itself; write its hash, which this prints: tidegate keys hash -",
        ),
        ('[[auth.key]]\nid = "a"', '1: [[auth.key]] has no hash; write for example hash = "sha256:..."'),
    ],
)
def test_a_mistake_is_named_by_line_key_and_cure(text: str, problem: str) -> None:
    assert problems(f"{text}\n{UPSTREAM}") == [problem]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('base_url = "http://h/v1"', '1: [[upstream]] has no name; write for example name = "main"'),
        ('name = "a"', '1: [[upstream]] has no base_url; write for example base_url = "https://api.openai.com/v1"'),
        (
            'name = ""\nbase_url = "http://h/v1"',
            "2: [[upstream]] name is empty; every upstream needs a name of its own",
        ),
        (
            'name = "a"\nbase_url = "api.openai.com/v1"',
            (
                "3: [[upstream]] base_url must begin with http:// or https://; "
                'write for example "https://api.openai.com/v1"'
            ),
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nmodels = []',
            '4: [[upstream]] models is empty, so nothing would ever go there; write models = ["*"]',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nmodels = "gpt"',
            '4: [[upstream]] models must be a list of text, not text; write for example models = ["*"]',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nmodels = { a = 1 }',
            (
                "4: [[upstream]] models must be a table of text, not one with other things in it; "
                'write for example models = { fast = "gpt-4o-mini" }'
            ),
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nheaders = []',
            (
                "4: [[upstream]] headers must be a table of text, not a list; "
                'write for example headers = { OpenAI-Organization = "org-..." }'
            ),
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\ndialect = "openai"',
            '4: [[upstream]] dialect must be one of "openai-chat"; did you mean "openai-chat"?',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nca_file = "/nowhere.pem"',
            '4: [[upstream]] ca_file is "/nowhere.pem", which cannot be read',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\nca_file = 1',
            '4: [[upstream]] ca_file must be text, not a number; write for example ca_file = "/etc/ssl/private-ca.pem"',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\napi_keys = [\n  "env:SET",\n  "env:UNSET",\n]',
            "6: [[upstream]] api_keys refers to the variable UNSET, which is not set; export UNSET=...",
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\napi_keys = ["env:"]',
            "4: [[upstream]] api_keys refers to the variable (no name), which is not set; export NAME=...",
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\napi_keys = ["file:nope"]',
            '4: [[upstream]] api_keys refers to the file "nope", which is not there, not readable or empty',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\napi_keys = ["${OPENAI_API_KEY}"]',
            '4: [[upstream]] api_keys is not expanded as a shell would; write "env:OPENAI_API_KEY"',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\napi_keys = [" "]',
            '4: [[upstream]] api_keys is empty; write a reference such as "env:OPENAI_API_KEY", or leave it out',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\n[upstream.headers]\nA = "x"\nX-Key = "env:UNSET"',
            '6: [[upstream]] headers "X-Key" refers to the variable UNSET, which is not set; export UNSET=...',
        ),
        (
            'name = "a"\nbase_url = "http://h/v1"\n[[upstream]]\nname = "a"\nbase_url = "http://h/v1"',
            '5: [[upstream]] name "a" is taken by an earlier upstream; give it its own',
        ),
    ],
)
def test_a_mistake_in_an_upstream_is_named_too(lines: str, problem: str) -> None:
    assert problems(f"[[upstream]]\n{lines}\n", {"SET": "x"}) == [problem]


def test_single_brackets_are_told_from_double_ones() -> None:
    expected = "1: [upstream] must be a list of tables; write [[upstream]] with two brackets"
    assert problems('[upstream]\nname = "x"') == [expected]


def test_two_keys_of_one_name_are_a_mistake() -> None:
    key = f'[[auth.key]]\nid = "a"\nhash = "{HASH}"\n'
    assert problems(UPSTREAM + key + key) == ['8: [[auth.key]] id "a" is taken by an earlier key; give it its own']


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    found = problems(f"{UPSTREAM}weigth = 1\n[stream]\nidle_timout = 1\n[server]\nport = -1\n", {"TIDEGATE_X": "1"})
    assert [line.partition(":")[0] for line in found] == ["4", "6", "8", "TIDEGATE_X"]


def test_a_file_without_an_upstream_is_a_mistake() -> None:
    assert problems("") == [
        'no upstream; add [[upstream]] with name = "main" and base_url = "https://api.openai.com/v1"'
    ]


def test_no_message_repeats_a_secret() -> None:
    text = (
        '[[upstream]]\nname = "a"\nbase_url = "https://user:hunter2@h/v1"\napi_keys = "sk-hunter2"\n'
        'headers = { A = "hunter2", B = 1 }\n[[auth.key]]\nid = "x"\nhash = "tg-hunter2"\n'
    )
    found = problems(text) + problems('[[upstream]]\nname = "a"\nbase_url = "https://user:hunter2@h/v1"\n')
    assert len(found) == 4
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = b", '1: not valid TOML: invalid value (column 5); text needs quotes: key = "value"'),
        ("a = 1\na = 2", "2: not valid TOML: cannot overwrite a value; the same key or table is there twice"),
        (
            "[stream]\nidle",
            "2: not valid TOML: expected '=' after a key in a key/value pair; a setting is written key = value",
        ),
        ("[x\n", "1: not valid TOML: expected ']' at the end of a table declaration (column 3)"),
    ],
)
def test_broken_toml_is_named_by_line(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    def why(path: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        return caught.value.message

    Path("latin.toml").write_bytes(b"# ok\n# \xe9\n")
    assert why("nope.toml") == "nope.toml: no such file; make one with: tidegate config example > nope.toml"
    assert why("latin.toml") == "latin.toml:2: not UTF-8; save the file as UTF-8"
    assert why(str(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("TIDEGATE_STREAM__IDLE_TIMOUT", "5", "unknown variable; did you mean TIDEGATE_STREAM__IDLE_TIMEOUT?"),
        ("TIDEGATE_PORT", "80", "unknown variable; did you mean TIDEGATE_SERVER__PORT?"),
        ("TIDEGATE_QQQ", "1", "unknown variable; a setting is TIDEGATE_SECTION__KEY"),
        ("TIDEGATE_SERVER", "1", "unknown variable; did you mean TIDEGATE_SERVER__H2C?"),
        ("TIDEGATE_LEDGER__URLL", "1", "unknown variable; did you mean TIDEGATE_LEDGER__URL?"),
        ("TIDEGATE_UPSTREAM__NAME", "1", "unknown variable; did you mean TIDEGATE_UPSTREAM__0__NAME?"),
        ("TIDEGATE_UPSTREAM__0", "1", "unknown variable; did you mean TIDEGATE_UPSTREAM__0__NAME?"),
        ("TIDEGATE_SERVER__PORT__X", "1", "unknown variable; did you mean TIDEGATE_SERVER__PORT?"),
        ("TIDEGATE_SERVER__PORT", "http", "must be a whole number, such as 8080"),
        ("TIDEGATE_SERVER__PORT", "70000", "is 70000; it must be between 0 and 65535"),
        ("TIDEGATE_STREAM__HEARTBEAT", "inf", "must be a number, such as 15.0"),
        ("TIDEGATE_STREAM__MALFORMED", "skp", 'must be one of "skip", "fatal"; did you mean "skip"?'),
        ("TIDEGATE_AUTH__ANONYMOUS", "maybe", "must be true or false"),
        ("TIDEGATE_UPSTREAM__0__API_KEYS", "[x", "begins like JSON but is not valid JSON"),
        (
            "TIDEGATE_UPSTREAM__0__API_KEYS",
            "env:UNSET",
            "refers to the variable UNSET, which is not set; export UNSET=...",
        ),
        ("TIDEGATE_UPSTREAM__0__HEADERS", "abc", 'must be pairs "name=value,name=value" or a JSON object'),
        (
            "TIDEGATE_UPSTREAM__0__HEADERS",
            "A=env:UNSET",
            "refers to the variable UNSET, which is not set; export UNSET=...",
        ),
        ("TIDEGATE_UPSTREAM__0__WEIGHT", "-1", "is -1.0; it must be 0 or more"),
        (
            "TIDEGATE_UPSTREAM__2__NAME",
            "x",
            "the tables before it are missing; the next one is TIDEGATE_UPSTREAM__1__NAME",
        ),
        (
            "TIDEGATE_UPSTREAM__1__NAME",
            "x",
            '[[upstream]] has no base_url; write for example base_url = "https://api.openai.com/v1"',
        ),
    ],
)
def test_a_mistake_in_a_variable_is_named_by_it(name: str, value: str, problem: str) -> None:
    assert problems(UPSTREAM, {name: value}) == [f"{name}: {problem}"]


def test_a_variable_does_not_hide_a_mistake_of_the_file() -> None:
    expected = "1: [stream] must be a table; write [stream] on a line of its own"
    assert problems("stream = 5\n" + UPSTREAM, {"TIDEGATE_STREAM__HEARTBEAT": "1"}) == [expected]


@pytest.mark.parametrize("text", ['[upstream]\nname = "x"', "upstream = [1]"])
def test_a_variable_does_not_hide_a_list_that_is_none(text: str) -> None:
    expected = "1: [upstream] must be a list of tables; write [[upstream]] with two brackets"
    assert problems(text, {"TIDEGATE_UPSTREAM__0__NAME": "y"}) == [expected]


def test_a_mistake_in_a_flag_is_named_by_it() -> None:
    assert problems(None, port="x") == ["--port: must be a whole number, such as 8080"]
    assert problems(None, log_format="xml") == ['--log-format: must be one of "auto", "json", "console"']


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1",
        "https://h:8443/v1/",
        "http://[::1]:8000/v1",
        "http://127.0.0.1:1",
        "https://h/openai/deployments/x",
    ],
)
def test_an_address_of_a_model_server_can_have_many_shapes(url: str) -> None:
    assert base_url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", 'must begin with http:// or https://; write for example "https://api.openai.com/v1"'),
        ("ftp://h/v1", 'must begin with http:// or https://; write for example "https://api.openai.com/v1"'),
        ("http:///v1", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://h:99999/v1", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://h:0/v1", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://[::1/v1", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://h /v1", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://h/v1\r\nX: y", 'is not a URL; write for example "https://api.openai.com/v1"'),
        ("http://u:p@h/v1", "must not hold a user name or password; put the secret into api_keys"),
        ("http://h/v1?key=x", "must not have a query or fragment; end it with the version segment, such as /v1"),
        (
            "http://h/v1/chat/completions",
            "must end with the version segment, such as /v1; /chat/completions is added to it",
        ),
    ],
)
def test_an_address_that_cannot_be_says_why(url: str, problem: str) -> None:
    assert base_url_problem(url) == problem


def test_an_unreadable_or_empty_secret_file_counts_as_missing() -> None:
    Path("empty").write_text("\n")
    for target in (".", "empty", "a\\u0000b"):
        (problem,) = problems(UPSTREAM + f'api_keys = ["file:{target}"]')
        assert problem.endswith("which is not there, not readable or empty")


def test_a_missing_key_of_a_variable_made_upstream_is_named_by_a_variable_of_it() -> None:
    found = problems(None, {"TIDEGATE_UPSTREAM__0__BASE_URL": "http://h/v1"})
    assert found == ['TIDEGATE_UPSTREAM__0__BASE_URL: [[upstream]] has no name; write for example name = "main"']
