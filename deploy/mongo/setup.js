// Run by mongosh: makes the server a replica set of one member (transactions and change streams need one) and the
// store's user. Safe to repeat. Passwords come from files: they are in no argument and no environment.
const fs = require('fs');
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, 'utf8').trim();

// directConnection: until the set has begun there is no primary to be found.
const admin = connect('mongodb://mongodb:27017/admin?directConnection=true');
admin.auth('root', secret('mongo_root_password'));

try {
  admin.adminCommand({replSetGetStatus: 1});
} catch (error) {
  if (error.codeName !== 'NotYetInitialized') throw error;
  admin.adminCommand({replSetInitiate: {_id: 'rs0', members: [{_id: 0, host: 'mongodb:27017'}]}});
}
while (!admin.hello().isWritablePrimary) sleep(200);

const store = admin.getSiblingDB('tidegate');
const user = {pwd: secret('mongo_password'), roles: [{role: 'readWrite', db: 'tidegate'}]};
if (store.getUser('tidegate') === null) {
  store.createUser({user: 'tidegate', ...user});
} else {
  store.updateUser('tidegate', user);
}
print('the store is ready');
