#!/bin/bash
# The service that Strongroom replaces, as its users wrote it: file by file, one program after the other.
set -euo pipefail
psql -qAt -F $'\t' -c "select id, object_key from media where status = 'approved' order by approved_at, id" |
  while IFS=$'\t' read -r id key; do
    file="$ARCHIVE_DIR/$key"
    rclone copyto "b:media/$key" "$file"
    facts=$(ffprobe -v error -show_format -show_streams -of json "$file")
    sum=$(sha256sum "$file" | cut -d ' ' -f 1)
    jq -n --argjson facts "$facts" --arg id "$id" --arg key "$key" --arg sha256 "$sum" \
      '{media_id: $id, object_key: $key, sha256: $sha256, facts: $facts}' >"$file.json"
    psql -qc "update media set status = 'archived', archive_path = '$key', checksum_sha256 = '$sum',
      archived_at = now() where id = $id"
    rclone deletefile "b:media/$key"
  done
