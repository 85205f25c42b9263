"""The JavaScript of docs/api.md follows a job in a browser, on a service that wants keys."""

from playwright.sync_api import Browser

from tests.docs.blocks import snippets
from tests.e2e.harness import Service, zip_of
from tests.pictures import png as picture
from tests.web.conftest import new_key

# What the snippet takes as given, and where its words go.
_AROUND = """async ({key, id}) => {
  const said = [];
  const console = {log: (epoch) => said.push(epoch)};
  SNIPPET
  await new Promise((resolve) => events.addEventListener("succeeded", resolve));
  events.close();
  return said;
}"""


def test_the_snippet_follows_a_job(browser: Browser, guarded: Service) -> None:
    key = new_key(guarded, "train")
    guarded.http.headers["Authorization"] = f"Bearer {key}"
    guarded.create("followed", options={"epochs": 3})
    images = {f"{seed % 2}/{seed}.png": picture(seed) for seed in range(8)}
    job = guarded.queue("followed", zip_of(images))["id"]
    page = browser.new_page()
    page.goto(f"{guarded.url}/health/live")
    (snippet,) = snippets("docs/api.md", "js")
    said = page.evaluate(_AROUND.replace("SNIPPET", snippet), {"key": key, "id": job})
    assert [event["data"]["epoch"] for event in said] == [1, 2, 3]
    page.close()
    del guarded.http.headers["Authorization"]
