// The phone book as it was first planned: Express, one Map, no signatures. The reference of the `phonebook` bench.
'use strict';

const express = require('express');

const TTL_SECONDS = 3600;
const players = new Map();

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '16kb' }));

app.post('/api/register', (req, res) => {
  const { playerName, port, publicKey } = req.body;
  if (!playerName || !port) {
    return res.status(400).json({ error: 'playerName and port are required' });
  }
  const ip = req.ip || req.socket.remoteAddress;
  players.set(playerName, { ip, port, publicKey, lastSeen: Date.now(), ttl: TTL_SECONDS });
  res.json({ success: true });
});

app.get('/api/lookup/:playerName', (req, res) => {
  const player = players.get(req.params.playerName);
  if (!player || Date.now() - player.lastSeen > player.ttl * 1000) {
    return res.status(404).json({ error: 'Player not found' });
  }
  res.json({ ip: player.ip, port: player.port, publicKey: player.publicKey, lastSeen: player.lastSeen });
});

app.delete('/api/unregister', (req, res) => {
  res.json({ success: true, existed: players.delete(req.body.playerName) });
});

app.get('/api/health', (req, res) => res.json({ status: 'ok', activeUsers: players.size }));

setInterval(() => {
  const now = Date.now();
  for (const [name, player] of players) {
    if (now - player.lastSeen > player.ttl * 1000) {
      players.delete(name);
    }
  }
}, 60_000);

const server = app.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
