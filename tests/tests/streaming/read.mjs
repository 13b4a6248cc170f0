// What programs of others read in a streaming set, as one JSON object: hls-parser in its strict mode (it refuses what RFC 8216
// forbids), video.js's parser of DASH manifests, GPAC's parser of MP4 boxes, and, where there is a schema, libxml2.
//
//   node read.mjs DIRECTORY-OF-NODE_MODULES SET [DASH-MPD.xsd]

import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const [modules, set, schema] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'of-others.js'));
const hls = require('hls-parser');
const dash = require('mpd-parser');
const mp4 = require('mp4box');
const {validateXML} = require('xmllint-wasm');

// All that anything says beside its result is a complaint.
const complaints = [];
for (const level of ['log', 'info', 'warn', 'error']) {
  console[level] = (...words) => complaints.push(words.join(' '));
}
const text = name => fs.readFileSync(path.join(set, name), 'utf8');
const folder = uri => uri.split('/')[0];

hls.setOptions({strictMode: true});

function playlists() {
  const master = hls.parse(text('master.m3u8'));
  const lists = new Map();
  const sounds = [];
  const media = uri => {
    if (!lists.has(folder(uri))) lists.set(folder(uri), mediaPlaylist(hls.parse(text(uri))));
    return folder(uri);
  };
  const variants = master.variants.map(variant => {
    for (const sound of variant.audio) {
      const found = {
        group: sound.groupId, list: media(sound.uri), language: sound.language ?? null, channels: sound.channels ?? null,
      };
      if (!sounds.some(other => other.group === found.group && other.list === found.list)) sounds.push(found);
    }
    return {
      list: media(variant.uri), bandwidth: variant.bandwidth, average: variant.averageBandwidth, codecs: variant.codecs,
      size: [variant.resolution.width, variant.resolution.height], frame_rate: variant.frameRate,
      sounds: variant.audio.map(sound => media(sound.uri)),
    };
  });
  return {independent: master.independentSegments, variants, sounds, lists: Object.fromEntries(lists)};
}

const mediaPlaylist = list => ({
  target: list.targetDuration, ended: list.endlist, kind: list.playlistType, version: list.version,
  segments: list.segments.map(segment => ({uri: segment.uri, length: segment.duration, init: segment.map?.uri ?? null})),
});

function manifest() {
  const eventHandler = ({type, message}) => complaints.push(`mpd-parser: ${type}: ${message}`);
  const read = dash.parse(text('manifest.mpd'), {manifestUri: 'http://set/manifest.mpd', eventHandler});
  const one = list => ({
    name: list.attributes.NAME, bandwidth: list.attributes.BANDWIDTH, codecs: list.attributes.CODECS,
    size: list.attributes.RESOLUTION ? [list.attributes.RESOLUTION.width, list.attributes.RESOLUTION.height] : [0, 0],
    segments: list.segments.map(segment => ({
      uri: segment.uri, length: segment.duration, at: segment.presentationTime, init: segment.map.uri,
    })),
  });
  const groups = Object.values(read.mediaGroups.AUDIO).flatMap(Object.values);
  return {
    duration: read.duration, video: read.playlists.map(one),
    audio: groups.flatMap(group => group.playlists).map(one),
  };
}

// The boxes of a rendition's files, read one by one.
function boxes(name, count) {
  const open = file => {
    const bytes = fs.readFileSync(path.join(set, name, file));
    const parsed = mp4.createFile();
    parsed.onError = what => complaints.push(`${name}/${file}: ${what}`);
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    parsed.appendBuffer(Object.assign(buffer, {fileStart: 0}));
    parsed.flush();
    return {parsed, bytes: bytes.length};
  };
  const init = open('init.mp4').parsed;
  const track = init.moov.traks[0];
  const segments = [];
  for (let number = 1; number <= count; number += 1) {
    const {parsed, bytes} = open(`${number}.m4s`);
    const fragment = parsed.moofs[0];
    const run = fragment.trafs[0].truns[0];
    const header = fragment.trafs[0].tfhd;
    segments.push({
      bytes, fragments: parsed.moofs.length, number: fragment.mfhd.sequence_number, brands: parsed.styp.compatible_brands,
      base: Number(fragment.trafs[0].tfdt.baseMediaDecodeTime), durations: run.sample_duration, sizes: run.sample_size,
      offsets: run.sample_composition_time_offset ?? [], flags: run.sample_flags?.[0] ?? header.default_sample_flags,
    });
  }
  return {
    timescale: track.mdia.mdhd.timescale, codec: init.getCodec?.(1) ?? track.mdia.minf.stbl.stsd.entries[0].getCodec(),
    brands: init.ftyp.compatible_brands, skip: Number(track.edts?.elst?.entries[0].media_time ?? 0), segments,
  };
}

// The schema names one for XLink at w3.org; this has of it what manifests use.
const XLINK = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
  <xs:attribute name="href" type="xs:anyURI"/><xs:attribute name="actuate" type="xs:token" default="onRequest"/>
  <xs:attribute name="type" type="xs:token"/><xs:attribute name="show" type="xs:token"/></xs:schema>`;

async function againstSchema() {
  if (!schema) return null;
  const own = fs.readFileSync(schema, 'utf8').replace('http://www.w3.org/XML/2008/06/xlink.xsd', 'xlink.xsd');
  const found = await validateXML({
    xml: [{fileName: 'manifest.mpd', contents: text('manifest.mpd')}], schema: [own],
    preload: [{fileName: 'xlink.xsd', contents: XLINK}], initialMemoryPages: 2048, maxMemoryPages: 4096,
  });
  return {valid: found.valid, errors: found.errors.map(error => error.message)};
}

const read = {complaints, refused: null};
try {
  read.hls = playlists();
  read.dash = manifest();
  // Sounds that no rung of HLS has are in the manifest all the same.
  for (const {name} of read.dash.audio.filter(sound => !(sound.name in read.hls.lists))) {
    read.hls.lists[name] = mediaPlaylist(hls.parse(text(`${name}/media.m3u8`)));
  }
  read.files = Object.fromEntries(
    Object.entries(read.hls.lists).map(([name, list]) => [name, boxes(name, list.segments.length)]));
  read.schema = await againstSchema();
} catch (error) {
  read.refused = String(error);
}
process.stdout.write(JSON.stringify(read));
