#pragma once
// A Transport for tests: answers by (method, path), remembers what was asked.

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "httpclient/http_client.h"

namespace tidegate::cli {

class FakeServer final : public httpclient::Transport {
 public:
  using Handler = std::function<Result<httpclient::Response>(const httpclient::Request&)>;

  // `path` is the URL without scheme, host and query.
  void on(const std::string& method, const std::string& path, Handler handler) {
    handlers_[method + " " + path] = std::move(handler);
  }
  void on(const std::string& method, const std::string& path, int status, std::string body) {
    on(method, path, [status, body](const httpclient::Request&) {
      return httpclient::Response{status, {}, body};
    });
  }
  // A list without a next page.
  void list(const std::string& path, const std::string& items) {
    on("GET", path, 200, R"({"success":true,"data":)" + items + "}");
  }

  Result<httpclient::Response> send(const httpclient::Request& request) override {
    requests.push_back(request);
    const std::string rest = request.url.substr(request.url.find('/', 8));
    const auto it = handlers_.find(request.method + " " + rest.substr(0, rest.find('?')));
    if (it == handlers_.end()) {
      return httpclient::Response{
          404, {}, R"({"success":false,"error":"no such thing","code":"not_found"})"};
    }
    TG_TRY(httpclient::Response answer, it->second(request));
    if (request.on_data && answer.status == 200) {
      request.on_data(answer.body);
      answer.body.clear();
    }
    return answer;
  }
  // Methods and paths of everything but GET, in order.
  std::vector<std::string> writes() const {
    std::vector<std::string> out;
    for (const auto& r : requests) {
      if (r.method != "GET") out.push_back(r.method + " " + r.url.substr(r.url.find('/', 8)));
    }
    return out;
  }

  std::vector<httpclient::Request> requests;

 private:
  std::map<std::string, Handler> handlers_;
};

}  // namespace tidegate::cli
