"""The notebook."""

import asyncio

import verifiers.v1 as vf


class NotebookState(vf.State):
    page: str = ""


class NotebookToolset(vf.Toolset[vf.SharedToolsetConfig, NotebookState]):
    TOOL_PREFIX = "notebook"

    @vf.tool
    async def write(self, word: str) -> str:
        """Write a word onto the page."""
        self.state.page = word
        await asyncio.sleep(0.05)  # for others to come between
        return f"written: {self.state.page}"

    @vf.tool
    async def read(self) -> str:
        """Read the page."""
        return self.state.page

    @vf.tool
    async def tear(self) -> str:
        """Tear the page out, which fails."""
        raise RuntimeError("the page does not come out")


if __name__ == "__main__":
    NotebookToolset.run()
