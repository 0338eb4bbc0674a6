import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AcceptedFormat, acceptedFormats } from '../formats.ts'
import { mediaKinds } from '../media.ts'

/** What looks at files of a format besides ffprobe, or instead of it. */
const judges: Readonly<Record<string, string>> = {
  heic: 'Strongroom; ffprobe for sequences without a still picture',
  heif: 'Strongroom; ffprobe for sequences without a still picture',
  avif: 'Strongroom; ffprobe for sequences without a still picture',
  webp: 'Strongroom, and ffprobe for still pictures',
  jxl: 'Strongroom (containers) and ffprobe',
}

/** The whole of docs/formats.md. */
export function formatsPage(): string {
  return `# Formats

<!-- Generated from src/formats.ts by \`node src/formats/docs.ts\`; do not edit. -->

A file is what its contents are: name, extension and declared MIME type decide nothing. If the media row declares a kind
(\`content_type\`), the contents must agree with it. The MIME type below is recorded in the sidecar and sent by the file
server. Whatever is not in this table is refused: the item is \`rejected\`, a copy goes to \`ERROR_DIR\` with a report that
gives the reason, and the source and the media row stay as they are.

${table()}

## The rule for each of five

**HEIC and HEIF: accepted.** Strongroom reads the boxes itself, because ffprobe 5.1 knows neither still pictures nor the
tiles of which phones make them. Every box must end inside the file; all that the tables place must lie in it, and not in
another file; the picture, or each tile of it, must be HEVC, H.264 or AV1 with what its decoder needs first, and begin like
it (a file filled with zeros does not); its dimensions must be there. A sequence without a still picture must please ffprobe
too. Dimensions are those before rotation and cropping.

**AVIF: accepted,** by the same rule and the same reader: ffprobe 5.1 refuses tiles, and many a simpler file.

**WebP: accepted,** still and animated. The length in the header must not exceed the file, every chunk must lie inside, and
there must be a picture. ffprobe must be able to measure a still one. It does not read animations; there each frame must
begin like one of the two codings, and the canvas gives the dimensions.

**JPEG XL: accepted** when ffprobe recognises and measures it, for which it must be built with libjxl (Debian's is), and
libjxl does not miss the end of the picture. In a container every box must end inside the file and the last part of the
picture must be there. A *bare* animation says nowhere how many frames it has: cut off behind its first frame it passes.

**SVG: refused.** It can carry scripts and references to other files, and would be a page of its own on the file server's
address. There is no setting that lets it in: convert it to PNG or WebP, or keep it elsewhere. Compressed SVG is refused as
any other gzip file.

## Which ffprobe

Debian's ffprobe links more than 200 libraries, and most of the time that a small file takes is its start. \`make ffprobe\` builds
a small one from the same source: no network, no playlist, only the file protocol and the demuxers of the formats above. The
image has it; elsewhere \`FFPROBE_SMALL_PATH\` names it. It is asked first. Before a sync the small one must answer and the full
one be there; whether that works, too, is told by \`strongroom doctor\`, and by the first file that needs it.

| Format | Which ffprobe |
|---|---|
| jxl | the full one of \`FFPROBE_PATH\`, which is built with libjxl |
| mpeg, mpegts | the full one, which knows a stream of video by its bytes where the file does not tell |
| all others | the small one; the full one where that knows the file and cannot measure it, or gives no verdict |

What the small one refuses stays refused: the full one may open a file with the same demuxers, and no others.

Both are started by a small Perl process (5 MiB; Debian and Ubuntu always have Perl), because to fork the program itself would
stop it for milliseconds with every file. It dies with the program and takes what it has started along; it is started again
should it be killed. Without a Perl that works the program starts ffprobe itself, and tries Perl again after a minute.

An ffprobe may take 1.5 GiB of memory and 16 times the size of its file, 4 GiB at most (on Linux); a file that makes it ask
for more is refused. Of all processes it is the one that the kernel kills first where memory runs out.

## What is refused, and why

| What | Why |
|---|---|
| SVG, HTML and other documents | they can carry scripts and references to other files |
| playlists, DASH and HLS manifests, concat scripts, SDP | they name other files and servers |
| subtitles, metadata files, archives, programs | they are no media |
| raw streams (H.264, PCM), sequences of images by file name | there is no header to check |
| a file that is not the declared kind | cover art makes a sound no picture, sound makes a video no audio |
| an empty file, a header with nothing behind it | there is nothing to keep |
| pictures beyond 65,535 pixels a side, more than 256 streams, recordings that claim to last for years | headers that are broken or made to do harm |

Nothing is decoded to its end, neither by Strongroom nor by ffprobe. Of the formats that only ffprobe judges, those that can
be played while they are still being received (MPEG-TS, MP3, Matroska, MP4 with its index first, baseline JPEG and the like)
pass when their end is missing: the copy is proven to be what the bucket holds, not that the upload was whole.
`
}

function table(): string {
  const rows = acceptedFormats.map((format) => {
    const types = mediaKinds.map((kind) => mimeType(format, kind))
    return `| ${[format.name, ...types, judges[format.name] ?? 'ffprobe'].join(' | ')} |`
  })
  const head = ['Format', ...mediaKinds.map((kind) => `As ${kind}`), 'Judged by']
  return [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows].join('\n')
}

function mimeType({ mimeTypes }: AcceptedFormat, kind: (typeof mediaKinds)[number]): string {
  const type = mimeTypes[kind]
  return type ? `\`${type}\`` : '–'
}

if (import.meta.main) {
  writeFileSync(join(import.meta.dirname, '../../docs/formats.md'), formatsPage())
}
