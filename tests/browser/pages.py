"""What tests do again and again."""


def log_in(page, broker, user="guest", password="guest"):
    page.go(broker.url)
    page.until("document.querySelector('#login')", "the login")
    fill_login(page, user, password)
    page.until("document.querySelector('main .page')", "the first page")


def fill_login(page, user, password):
    for name, text in (("user", user), ("password", password)):
        page.click_at(f"document.querySelector('#login [name={name}]')")
        page.type(text)
    page.click_at("document.querySelector('#login button')")
