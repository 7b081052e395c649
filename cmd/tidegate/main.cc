#include "app/app.h"

int main(int argc, char** argv) {
  return tidegate::app::run({argv, static_cast<std::size_t>(argc)});
}
