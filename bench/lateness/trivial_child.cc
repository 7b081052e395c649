// A child that does nothing but say when it began to run. Two forms:
//   trivial_child FILE   as a scheduler's command: appends one line to FILE
//   trivial_child --job … as the engine: the request on fd 3 names the file in source.config.stamp
// A line is the wall time in nanoseconds since 1970, written with one O_APPEND write.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

namespace {

void stamp(const char* path, const timespec& now) {
  char line[32];
  const int length = std::snprintf(line, sizeof line, "%lld%09ld\n",
                                   static_cast<long long>(now.tv_sec), now.tv_nsec);
  const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, line, static_cast<size_t>(length)) != length) _exit(1);
  close(fd);
}

std::string read_request() {
  std::string line;
  char buffer[4096];
  while (line.empty() || line.back() != '\n') {
    const ssize_t n = read(3, buffer, sizeof buffer);
    if (n <= 0) break;
    line.append(buffer, static_cast<size_t>(n));
  }
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (argc == 2) {
    stamp(argv[1], now);
    return 0;
  }
  const std::string request = read_request();
  const char key[] = "\"stamp\":\"";
  const size_t at = request.find(key);
  if (at == std::string::npos) return 2;
  const size_t begin = at + sizeof key - 1;
  stamp(request.substr(begin, request.find('"', begin) - begin).c_str(), now);
  const char result[] = "{\"type\":\"result\",\"code\":0}\n";
  return write(4, result, sizeof result - 1) == sizeof result - 1 ? 0 : 1;
}
