"""Dockerfiles: what is read, what needs Docker, and what a sandbox makes of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from converters.harbor.build import BuildFailed, build, read_ignore
from converters.harbor.dockerfile import Copy, Directory, DockerfileError, NeedsDocker, Run, plan, read, unsupported
from tests.harbor.boxes import Box, box


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with box() as started:
        yield started


def _build(shared: Box, text: str, context: Path) -> None:
    shared.runner.run(build(shared.sandbox, plan(dedent(text)), context))


def test_instructions_have_their_lines() -> None:
    """Continued lines are one instruction; comments and empty lines in it are skipped."""
    text = "# note\n\nFROM debian\nRUN a \\\n  # within\n\n  && b \\\n&& c\ncopy --chown=me x y\n"
    found = [(each.line, each.name, dict(each.flags), each.rest) for each in read(text)]
    assert found == [
        (3, "FROM", {}, "debian"),
        (4, "RUN", {}, "a   && b && c"),
        (9, "COPY", {"chown": "me"}, "x y"),
    ]


def test_the_escape_character_can_be_another() -> None:
    """By the directive in the first comment."""
    assert [each.rest for each in read("# escape=`\nFROM a\nRUN b `\n c\\\n")] == ["a", "b  c\\"]


def test_a_dockerfile_is_steps_and_what_commands_begin_with() -> None:
    """FROM is a label; ENV, ARG, WORKDIR, USER and SHELL are in what follows them."""
    image = plan(
        dedent("""
        ARG TAG=3.12
        FROM --platform=linux/amd64 python:${TAG}-slim AS only
        ARG TAG
        ARG WHO=me NONE
        ENV A=1 B="two words" C='$A' D=$WHO-$TAG
        ENV OLD the rest $A
        WORKDIR /app
        WORKDIR sub/../deep
        RUN echo $A
        USER $WHO
        SHELL ["/bin/bash", "-c"]
        RUN ["exec", "form"]
        RUN more
        COPY a b ./
        ADD --chmod=755 --chown=$WHO:users ["with space", "/opt/x"]
        EXPOSE 80
        CMD ["x"]
        ENTRYPOINT x
        VOLUME /data
        """)
    )
    env = {"A": "1", "B": "two words", "C": "$A", "D": "me-3.12", "OLD": "the rest 1"}
    assert (image.base, image.env, image.workdir, image.user) == ("python:3.12-slim", env, "/app/deep", "me")
    given = {"TAG": "3.12", "WHO": "me", **env}
    assert image.steps == [
        Directory("/app"),
        Directory("/app/deep"),
        Run(10, ("/bin/sh", "-c", "echo $A"), given, "/app/deep", "root"),
        Run(13, ("exec", "form"), given, "/app/deep", "me"),
        Run(14, ("/bin/bash", "-c", "more"), given, "/app/deep", "me"),
        Copy(15, ("a", "b"), "/app/deep/", None, None),
        Copy(16, ("with space",), "/opt/x", "me:users", 0o755),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$X", "x"),
        ("${X}y", "xy"),
        ("${NO:-d}", "d"),
        ("${NO-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${X:-d}", "x"),
        ("${X:+d}", "d"),
        ("${NO:+d}", ""),
        ("${EMPTY+d}", "d"),
        ("${NO:-$X}", "x"),
        ("${NO:-${X}}", "x"),
        ("$NO", ""),
        (r"\$X", "$X"),
        ("'$X'", "$X"),
        ('"$X b"', "x b"),
        (r'"a\"b"', 'a"b'),
        (r"a\ b", "a b"),
        ("$", "$"),
        ("a$-", "a$-"),
    ],
)
def test_variables_are_put_in(text: str, value: str) -> None:
    """As in the Dockerfile reference."""
    assert plan(f"FROM a\nENV X=x EMPTY=\nENV Y={text}").env["Y"] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM a\nCOPY --from=builder /x /y", "line 2: COPY --from=builder /x /y"),
        ("FROM a AS b\nRUN x\nFROM c", "line 3: FROM c (a second stage)"),
        ("FROM a\n\nADD https://host/x /y", "line 3: ADD https://host/x /y"),
        ("FROM a\nADD x.tar.gz /y", "line 2: ADD x.tar.gz /y"),
        ("FROM a\nADD git@host:x /y", "line 2: ADD"),
        ("FROM a\nRUN --mount=type=cache,target=/x y", "line 2: RUN --mount"),
        ("FROM a\nRUN <<EOF\nls\nEOF", "line 2: RUN <<EOF (a here-document)"),
        ("FROM a\nRUN cat <<-'EOF' > x\nls\nEOF", "line 2: RUN cat"),
        ("FROM a\nCOPY <<EOF /x\nls\nEOF", "line 2: COPY <<EOF /x (a here-document)"),
        ("FROM a\nCOPY --chmod=u+x a b", "line 2: COPY --chmod=u+x a b (a mode that is not octal)"),
        ("FROM a\nCOPY --parents a b", "line 2: COPY --parents a b"),
        ("FROM a\nONBUILD RUN x", "line 2: ONBUILD RUN x"),
        ("FROM a\nENV X=${Y%z}", "line 2: ENV X=${Y%z} (a substitution other than"),
    ],
)
def test_what_needs_docker_is_named_with_its_line(text: str, said: str) -> None:
    """The judgement is by the text alone."""
    assert (unsupported(text) or "").startswith(f"needs Docker because {said}")
    with pytest.raises(NeedsDocker):
        plan(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no FROM"),
        ("RUN x", "line 1: RUN x: FROM comes first"),
        ("FROM a\nCOPPY x y", "line 2: COPPY x y: there is no such instruction"),
        ("FROM a\nCOPY x", "line 2: COPY x: sources and a target are wanted"),
        ("FROM a\nRUN", "line 2: RUN: it says nothing"),
        ('FROM a\nENV X="y', 'line 2: ENV X="y: a quote is not closed'),
        ("FROM a\nSHELL bash", "line 2: SHELL bash: SHELL takes a JSON list"),
    ],
)
def test_what_is_no_dockerfile_is_told_with_its_line(text: str, said: str) -> None:
    """It is an error for Docker too."""
    with pytest.raises(DockerfileError) as caught:
        plan(text)
    assert str(caught.value).startswith(said)


def test_shifts_and_here_strings_are_no_here_documents() -> None:
    """Only a word that begins with << and a name is one."""
    assert unsupported('FROM a\nRUN echo $((1<<2)) && cat <<< "x" && x<<y') is None


def test_a_dockerfile_is_built(shared: Box, tmp_path: Path) -> None:
    """Files, owners, modes, users, variables and commands are as Docker has them."""
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "sub" / "f").write_text("f")
    for name in ("one.txt", "two.txt", "three.md"):
        (tmp_path / name).write_text(name)
    _build(
        shared,
        """
        FROM debian
        ENV GREETING="hello there"
        RUN useradd --create-home builder
        WORKDIR /build
        COPY one.txt renamed
        COPY *.txt texts/
        COPY dir .
        COPY dir /build/new/dir
        COPY --chown=builder --chmod=640 three.md /build/theirs.md
        COPY --chown=77:88 one.txt /build/texts/
        USER builder
        WORKDIR /home/builder
        RUN echo "$GREETING from $(id -un)" > said
        RUN ["sh", "-c", "pwd > where"]
        """,
        tmp_path,
    )
    found = shared.out("cd /build && find . -type f | sort")
    names = ["new/dir/sub/f", "renamed", "sub/f", "texts/one.txt", "texts/two.txt", "theirs.md"]
    assert found.split() == [f"./{name}" for name in names]
    assert shared.out("stat -c '%U:%G %a' /build/theirs.md") == "builder:builder 640"
    assert shared.out("stat -c '%u:%g' /build/texts/one.txt /build/texts/two.txt").split() == ["77:88", "0:0"]
    assert shared.out("cat /home/builder/said /home/builder/where").splitlines() == [
        "hello there from builder",
        "/home/builder",
    ]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("RUN echo wrong >&2; exit 3", "line 2: RUN echo wrong >&2; exit 3 ended with 3: wrong"),
        ("COPY missing /x", "line 2: COPY missing: there is no such file in context/"),
        ("COPY link /x", "line 2: COPY link: link is a link out of context/"),
        ("COPY ../secret /x", "line 2: COPY ../secret: there is no such file in context/"),
        ("COPY --chown=nosuch file /x", "--chown=nosuch failed: id: .nosuch.: no such user"),
        ("COPY hidden /x", "line 2: COPY hidden: .dockerignore leaves nothing of it"),
    ],
)
def test_a_step_that_fails_has_its_line(shared: Box, tmp_path: Path, step: str, said: str) -> None:
    """With what the command said; nothing outside the context is ever copied."""
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "secret").write_text("secret")
    (context / "link").symlink_to(tmp_path / "secret")
    (context / "file").write_text("file")
    (context / "hidden").write_text("hidden")
    (context / ".dockerignore").write_text("hidden\n")
    with pytest.raises(BuildFailed) as caught:
        _build(shared, f"FROM a\n{step}", context)
    assert re.match(re.escape(said).replace(r"\.nosuch\.", ".nosuch."), str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        ("*.log", "a.log", True),
        ("*.log", "d/a.log", False),
        ("**/*.log", "d/e/a.log", True),
        ("**/*.log", "a.log", True),
        ("d", "d/e/f", True),
        ("/d/", "d/e", True),
        ("*\n!keep", "keep", False),
        ("*\n!keep", "other", True),
        ("# d\n\nd/?", "d/e", True),
        ("d/?", "d/ee", False),
        ("d/[ab]", "d/b", True),
        ("d/**", "d/e/f", True),
    ],
)
def test_dockerignore(tmp_path: Path, patterns: str, path: str, out: bool) -> None:
    """The last pattern that fits decides, for a directory and all in it."""
    (tmp_path / ".dockerignore").write_text(patterns)
    assert read_ignore(tmp_path)(path) is out
