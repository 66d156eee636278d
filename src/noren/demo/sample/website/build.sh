set -e
for site in en jp; do
  mkdir -p "$NOREN_OUTPUT/$site"
  cp style.css "$NOREN_OUTPUT/$site/"
  printf '<!doctype html><html lang="%s"><meta charset="utf-8"><title>%s</title><link rel="stylesheet" href="style.css">\n<h1>%s</h1>\n' \
    "$(cat $site/lang)" "$(cat $site/title)" "$(cat $site/title)" >"$NOREN_OUTPUT/$site/index.html"
done
