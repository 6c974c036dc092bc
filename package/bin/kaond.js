#!/usr/bin/env node
import { launch } from '../launch.js';

// Code that runs now and then costs 2 MiB as machine code; what runs often is still compiled, by V8's optimizer.
void launch('kaond', ['--no-sparkplug']);
