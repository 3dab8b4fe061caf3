"""H5 on the page: rules for guests of the public endpoint."""

from playwright.sync_api import expect

from dev.lnbits_server import LnbitsServer

from .conftest import AdminPage


def test_h5_rules_for_guests_are_saved_and_shown(
    admin: AdminPage, server: LnbitsServer
) -> None:
    dialog = admin.page.get_by_role("dialog")
    guests = dialog.get_by_test_id("guests")

    def open_guests() -> None:
        admin.endpoints.get_by_role("button", name="Settings").click()
        guests.get_by_text("Who may use the public endpoint").click()

    try:
        open_guests()
        guests.get_by_label("Publishing needs authentication").click()
        guests.get_by_label("Not these kinds").fill("seven")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_contain_text("is not a kind")
        admin.forgive_refused_requests()
        guests.get_by_label("Not these kinds").fill("4, 1059\n30000-39999")
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="detached")
        rules = server.api("GET", "/config")["guests"]
        assert rules["deny_kinds"] == ["4", "1059", "30000-39999"]
        assert rules["auth_to_publish"] is True
        assert rules["auth_to_read"] is False
        open_guests()
        expect(guests.get_by_label("Not these kinds")).to_have_value(
            "4\n1059\n30000-39999"
        )
    finally:
        none = {"auth_to_publish": False, "deny_kinds": []}
        server.api("PUT", "/config", {"guests": none})
