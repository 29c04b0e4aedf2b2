# A service behind a load balancer, as a user of Terraform writes it. terraform_test.go applies it to Berth.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "region" { type = string }
variable "access_key" { type = string }
variable "secret_key" { type = string }
variable "image" { type = string }
variable "release" { type = string }
variable "desired_count" { type = number }

provider "aws" {
  region                  = var.region
  access_key              = var.access_key
  secret_key              = var.secret_key
  skip_metadata_api_check = true

  endpoints {
    ec2   = var.endpoint
    ecs   = var.endpoint
    elbv2 = var.endpoint
    iam   = var.endpoint
    sts   = var.endpoint
  }

  default_tags {
    tags = { made-by = "terraform" }
  }
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

data "aws_security_group" "default" {
  vpc_id = data.aws_vpc.default.id
  name   = "default"
}

# The machine is in this cluster.
data "aws_ecs_cluster" "default" {
  cluster_name = "default"
}

resource "aws_ecs_cluster" "empty" {
  name = "tf-empty"

  setting {
    name  = "containerInsights"
    value = "disabled"
  }
}

resource "aws_ecs_task_definition" "web" {
  family = "tf-web"

  container_definitions = jsonencode([{
    name         = "main"
    image        = var.image
    memory       = 16
    command      = ["/bin/probe", "serve", ":8080"]
    environment  = [{ name = "RELEASE", value = var.release }]
    portMappings = [{ containerPort = 8080 }]
  }])
}

resource "aws_lb" "web" {
  name            = "tf-web"
  internal        = true
  subnets         = data.aws_subnets.default.ids
  security_groups = [data.aws_security_group.default.id]
  idle_timeout    = 30
}

resource "aws_lb_target_group" "web" {
  name                 = "tf-web"
  port                 = 8080
  protocol             = "HTTP"
  vpc_id               = data.aws_vpc.default.id
  deregistration_delay = 5

  health_check {
    path                = "/"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "web" {
  load_balancer_arn = aws_lb.web.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.web.arn
  }
}

resource "aws_lb_listener_rule" "teapot" {
  listener_arn = aws_lb_listener.web.arn
  priority     = 10

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "short and stout"
      status_code  = "418"
    }
  }

  condition {
    path_pattern {
      values = ["/teapot"]
    }
  }
}

resource "aws_ecs_service" "web" {
  name                               = "tf-web"
  cluster                            = data.aws_ecs_cluster.default.arn
  task_definition                    = aws_ecs_task_definition.web.arn
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30
  wait_for_steady_state              = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.web.arn
    container_name   = "main"
    container_port   = 8080
  }

  depends_on = [aws_lb_listener.web]
}
