// The peer: fastify's hello-world, as its own benchmarks have it (a schema, no logger).
import Fastify from 'fastify';

const app = Fastify();
const schema = {
  response: { 200: { type: 'object', properties: { hello: { type: 'string' } } } },
};
app.get('/hello', { schema }, (request, reply) => reply.send({ hello: 'world' }));
const address = await app.listen({ host: '127.0.0.1', port: 0 });
console.log(address);
