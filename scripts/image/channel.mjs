// The socket to the boot binary, which is this process's standard input.

import { Socket } from 'node:net';
import { Readable } from 'node:stream';

export const channel = new Socket({ fd: 0, readable: true, writable: true });
// A module of Directus reads process.stdin, which would open descriptor 0 a second time and fail (EEXIST).
Object.defineProperty(process, 'stdin', { value: Readable.from([]) });
