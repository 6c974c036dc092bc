/** How much slower than an idle machine this one is thought to be: every time limit is as much longer. */
export const patience = Number(process.env['KAON_VM_PATIENCE'] ?? '1');
